// One NVIDIA GPU: its slab of memory, one stream, every kernel of core/kernels.h in f32 and in bf16
// with f32 parameters. All sums are taken in an order that depends on shapes and device alone, so
// the same inputs give the same bits.
#pragma once

#include <cuda_runtime_api.h>

#include "core/backend.h"
#include "core/plugin.h"

namespace tern {

namespace cuda {
class AlgorithmTable;
class AttentionLibrary;
class Blas;
class SnapshotSlots;
class UploadRing;

// a constant into a tensor of any dtype but i8
void fill_elements(const Tensor& to, double value, cudaStream_t stream);
}  // namespace cuda

class CudaBackend final : public Backend {
 public:
  // Error(Fault::usage): no such device, or one older than sm_80; Fault::memory: no slab that large
  CudaBackend(int device, std::size_t slab_bytes);
  ~CudaBackend() override;
  std::string_view name() const override { return name_; }
  DeviceTraits traits() const override { return traits_; }
  Pool& pool() override { return *pool_; }
  void let_grow() override;
  void upload(const Tensor& to, const void* from_host) override;
  void download(void* to_host, const Tensor& from) override;
  std::unique_ptr<Snapshot> snapshot(const Tensor& of) override;
  void copy(const Tensor& to, const Tensor& from) override;
  void fill(const Tensor& to, double value) override;
  void synchronize() override;
  void* stream() override { return stream_; }
  double seconds_of(const std::function<void()>& work) override;
  std::unique_ptr<Timestamp> timestamp() override;
  void hang() override;
  std::unique_ptr<DecodeStep> decode_step(const DecodeModel& model) override;
  // DevicePlugin::measure_products, but the table is returned, not written
  cuda::AlgorithmTable measure_products(const std::function<void()>& work,
                                        const std::function<void(const MeasuredProduct&)>& report);

#define TERN_RUN(Kernel) void run(const Kernel&) override;
  TERN_KERNELS(TERN_RUN)
#undef TERN_RUN

 private:
  void* new_slab(std::size_t bytes);
  // The kernel's workspace, given back when the returned tensor is dropped: the one stream orders
  // the memory's next use behind this kernel. Empty if it needs none.
  template <class Kernel>
  Tensor workspace(const Kernel& kernel) {
    const std::size_t bytes = workspace_bytes(kernel, traits_);
    return bytes ? Tensor(*this, {Index(bytes)}, DType::i8) : Tensor{};
  }

  std::string name_;
  DeviceTraits traits_;
  bool hopper_ = false;  // the files built for sm_90a may be used
  cudaStream_t stream_ = nullptr;
  std::vector<void*> slabs_{};
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<cuda::Blas> blas_;
  std::unique_ptr<cuda::AttentionLibrary> attention_;  // or null
  std::unique_ptr<cuda::UploadRing> uploads_;
  std::unique_ptr<cuda::SnapshotSlots> snapshots_;
};

}  // namespace tern
