// The reference backend: f32 and f64, OpenMP over fixed chunks, so that the bits do not depend on
// the number of threads. Read it to learn what a kernel means.
#pragma once

#include "core/backend.h"

namespace tern {

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(std::size_t slab_bytes);  // throws Error(Fault::memory)
  std::string_view name() const override { return "cpu"; }
  // What computes products with int8 codes in f32 on this machine: "AVX-512 VNNI", "AVX-VNNI",
  // "AVX2", "plain".
  static std::string_view code_kernels();
  static std::string_view eigen_version();
  Pool& pool() override { return pool_; }
  void let_grow() override;
  void upload(const Tensor& to, const void* from_host) override;
  void download(void* to_host, const Tensor& from) override;
  void copy(const Tensor& to, const Tensor& from) override;
  void fill(const Tensor& to, double value) override;
  const void* host_address(const Tensor& t) const override { return t.raw(); }
  std::unique_ptr<DecodeStep> decode_step(const DecodeModel& model) override;

#define TERN_RUN(Kernel) void run(const Kernel&) override;
  TERN_KERNELS(TERN_RUN)
#undef TERN_RUN

 private:
  struct Slab {
    explicit Slab(std::size_t bytes);
    Slab(Slab&& other) noexcept : data(std::exchange(other.data, nullptr)), bytes(other.bytes) {}
    ~Slab();
    void* data;
    std::size_t bytes;
  };
  void* new_slab(std::size_t bytes);

  std::vector<Slab> slabs_{};
  Pool pool_;
};

}  // namespace tern
