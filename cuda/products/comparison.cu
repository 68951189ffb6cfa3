
#include "cuda/common/device.cuh"
#include "cuda/products/product_measurement.h"

namespace tern::cuda {
namespace {

constexpr int kThreads = 256;

__device__ bool same_bits(float a, float b) {
  return __float_as_uint(a) == __float_as_uint(b);
}
__device__ bool same_bits(bf16 a, bf16 b) {
  return __bfloat16_as_ushort(a) == __bfloat16_as_ushort(b);
}

// All blocks walk over both matrices together, strided over all threads; the host adds the
// parts. Twice the matrix's bytes: bound by memory. f64. Reproducible.
template <class T>
__global__ void __launch_bounds__(kThreads)
    sum_differences(Differences* parts, const T* a, const T* b, Index count) {
  __shared__ double sums[2][kThreads];
  __shared__ unsigned others;
  if (threadIdx.x == 0) others = 0;
  __syncthreads();
  double difference = 0, size = 0;
  unsigned other = 0;
  for (Index i = Index(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += Index(kComparisonBlocks) * kThreads) {
    const double x = double(to_float(a[i])), y = double(to_float(b[i]));
    difference += (x - y) * (x - y);
    size += y * y;
    other += !same_bits(a[i], b[i]);
  }
  sums[0][threadIdx.x] = difference, sums[1][threadIdx.x] = size;
  atomicAdd(&others, other);
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (int(threadIdx.x) < half)
      for (auto& sum : sums) sum[threadIdx.x] += sum[threadIdx.x + half];
  }
  if (threadIdx.x == 0) parts[blockIdx.x] = {sums[0][0], sums[1][0], others};
}

}  // namespace

Differences compare(const Comparison& c, cudaStream_t stream) {
  auto* parts = static_cast<Differences*>(c.space);
  visit_real(c.type, [&]<class T>() {
    sum_differences<<<kComparisonBlocks, kThreads, 0, stream>>>(
        parts, static_cast<const T*>(c.a), static_cast<const T*>(c.b), c.count);
  });
  launched("[compare]");
  std::vector<Differences> host(kComparisonBlocks);
  cuda_check(cudaMemcpyAsync(host.data(), parts, kComparisonBytes, cudaMemcpyDeviceToHost, stream),
             "[compare]");
  cuda_check(cudaStreamSynchronize(stream), "[compare]");
  Differences sum;
  for (const Differences& d : host)
    sum.difference += d.difference, sum.size += d.size, sum.other += d.other;
  return sum;
}

}  // namespace tern::cuda
