// Where each row is largest.
#include "cuda/backend/cuda_backend.h"
#include "cuda/common/device.cuh"

namespace tern {

using namespace cuda;

namespace {

constexpr int kThreads = 512;

// A number and its column as one key, of which the largest is looked for: the bits of the number in
// an order that integers share, NaN above all, then the columns backwards.
__device__ inline unsigned long long key_of(float x, Index column) {
  const unsigned order = x != x ? 0xffffffffu : ordered_bits(x);
  return static_cast<unsigned long long>(order) << 32 | (0xffffffffu - unsigned(column));
}

// A block owns a row: thread t takes vectors t, t + kThreads, ... of it. 2 or 4 V bytes are read
// once, which bounds it. The largest of integers: the order does not matter.
template <class A, int V>
__global__ void __launch_bounds__(kThreads)
    largest_of_row(std::int32_t* ids, const A* x, Index columns) {
  __shared__ unsigned long long of_warp[kThreads / 32];
  const A* row = x + Index(blockIdx.x) * columns;
  unsigned long long best = 0;
  for (Index i = Index(threadIdx.x) * V; i < columns; i += Index(kThreads) * V) {
    float values[V];
    load(values, row + i);
    for (int k = 0; k < V; ++k) best = max(best, key_of(values[k], i + k));
  }
  for (int offset = 16; offset > 0; offset /= 2)
    best = max(best, __shfl_xor_sync(kAllLanes, best, offset));
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = best;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (const unsigned long long other : of_warp) best = max(best, other);
  ids[blockIdx.x] = std::int32_t(0xffffffffu - unsigned(best));
}

}  // namespace

void CudaBackend::run(const Argmax& a) {
  visit_real(a.x.dtype(), [&]<class A>() {
    const Index N = a.x.shape()[0], V = a.x.shape()[1];
    const A* x = a.x.data<A>();
    const auto kernel = V % 8 == 0 && aligned<16>(x) ? largest_of_row<A, 8> : largest_of_row<A, 1>;
    kernel<<<blocks_for(N, 1), kThreads, 0, stream_>>>(a.ids.data<std::int32_t>(), x, V);
    launched("[argmax]");
  });
}

}  // namespace tern
