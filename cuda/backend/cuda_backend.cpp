#include "cuda/backend/cuda_backend.h"

#include "cuda/attention/attention_library.h"
#include "cuda/backend/device_query.h"
#include "cuda/backend/host_memory.h"
#include "cuda/common/check.h"
#include "cuda/products/blas.h"
#include "cuda/products/product_measurement.h"

namespace tern {

using namespace cuda;

namespace {

class DeviceTimestamp final : public Timestamp {
 public:
  explicit DeviceTimestamp(cudaStream_t stream) { event_.record(stream); }
  double seconds_since(const Timestamp& earlier) const override {
    event_.wait();  // on one stream, so the earlier one has been reached, too
    return dynamic_cast<const DeviceTimestamp&>(earlier).event_.seconds_until(event_);
  }

 private:
  TimedEvent event_;
};

}  // namespace

CudaBackend::CudaBackend(int device, std::size_t slab_bytes)
    : name_("cuda:" + std::to_string(device)),
      traits_(describe_device(device).traits),
      hopper_(is_hopper(device)) {
  cuda_check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "[CudaBackend] stream");
  try {
    pool_ = std::make_unique<Pool>(new_slab(slab_bytes), slab_bytes);
  } catch (...) {
    cudaStreamDestroy(stream_);
    throw;
  }
  blas_ = std::make_unique<Blas>(AlgorithmTable(algorithm_table_path()), machine_name(device));
  if (traits_.attention_library) attention_ = open_attention_library().library->open(stream_);
  uploads_ = std::make_unique<UploadRing>();
  snapshots_ = std::make_unique<SnapshotSlots>();
}

CudaBackend::~CudaBackend() {
  if (device_lost()) return;
  cudaStreamSynchronize(stream_);
  for (void* slab : slabs_) cudaFree(slab);
  cudaStreamDestroy(stream_);
}

void* CudaBackend::new_slab(std::size_t bytes) {
  void* slab = nullptr;
  if (cudaMalloc(&slab, std::max<std::size_t>(bytes, 256)) != cudaSuccess) {
    cudaGetLastError();  // the failure is handled: not the next call's
    std::size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    fail(Fault::memory, "[CudaBackend] out of device memory: requested a slab of ", bytes,
         " B, free are ", free, " of ", total, " B");
  }
  slabs_.push_back(slab);
  return slab;
}

void CudaBackend::let_grow() {
  pool_->let_grow([this](std::size_t bytes) { return new_slab(bytes); });
}

void CudaBackend::upload(const Tensor& to, const void* from_host) {
  uploads_->upload(to.raw(), from_host, to.bytes(), stream_);
}

void CudaBackend::download(void* to_host, const Tensor& from) {
  if (!from.bytes()) return;
  cuda_check(cudaMemcpyAsync(to_host, from.raw(), from.bytes(), cudaMemcpyDeviceToHost, stream_),
             "[download]");
  cuda_check(cudaStreamSynchronize(stream_), "[download]");
}

std::unique_ptr<Snapshot> CudaBackend::snapshot(const Tensor& of) {
  return snapshots_->take(of, stream_);
}

void CudaBackend::copy(const Tensor& to, const Tensor& from) {
  check(to.bytes() == from.bytes(), "[copy] expected equal sizes, got ", to, " and ", from);
  if (!to.bytes()) return;
  cuda_check(cudaMemcpyAsync(to.raw(), from.raw(), from.bytes(), cudaMemcpyDeviceToDevice, stream_),
             "[copy]");
}

void CudaBackend::fill(const Tensor& to, double value) {
  check(to.dtype() != DType::t2, "[fill] expected another type than t2, got ", to);
  if (!to.bytes()) return;
  if (value == 0 || to.dtype() == DType::i8)
    cuda_check(cudaMemsetAsync(to.raw(), int(value), to.bytes(), stream_), "[fill]");
  else
    fill_elements(to, value, stream_);
}

AlgorithmTable CudaBackend::measure_products(
    const std::function<void()>& work, const std::function<void(const MeasuredProduct&)>& report) {
  ProductMeasurement measurement(*blas_, stream_, report);
  struct Watch {  // also ends when work() throws
    ~Watch() { blas.observe({}); }
    Blas& blas;
  } watch{*blas_};
  blas_->observe([&](const BlasProduct& product) { measurement.before(product); });
  work();
  return measurement.table();
}

void CudaBackend::synchronize() {
  cuda_check(cudaStreamSynchronize(stream_), "[synchronize]");
}

void CudaBackend::hang() {
  spin_for_ever(stream_);
}

double CudaBackend::seconds_of(const std::function<void()>& work) {
  synchronize();
  const TimedEvent begin, end;
  keep_busy(stream_);
  begin.record(stream_);
  work();
  end.record(stream_);
  synchronize();
  return begin.seconds_until(end);
}

std::unique_ptr<Timestamp> CudaBackend::timestamp() {
  return std::make_unique<DeviceTimestamp>(stream_);
}

}  // namespace tern
