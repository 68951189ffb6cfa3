#include "cuda/cuda_backend.h"
#include "cuda/device.cuh"

namespace tern {

using namespace cuda;

namespace {

constexpr int kThreads = 256;

// A block owns a row of y, its threads the columns in turn. Reads 4 and writes sizeof(R) bytes an
// element, which bounds it.
template <class R>
__global__ void __launch_bounds__(kThreads)
    gather_rows(R* y, const float* table, const std::int32_t* ids, Index D) {
  const Index n = blockIdx.x;
  const float* row = table + Index(ids[n]) * D;
  for (Index d = threadIdx.x; d < D; d += kThreads) y[n * D + d] = from_float<R>(row[d]);
}

// A block owns a row of the table. It looks through all ids, kThreads at a time, and adds the rows
// of its own in their order; thread t has columns t, t + kThreads, ... of up to Columns of them.
// The ids come from L2: 4 N V bytes of it are what bounds it. f32 sums; no atomics, the same bits
// twice.
template <class R, int Columns>
__global__ void __launch_bounds__(kThreads)
    scatter_rows(float* dtable, bool add, const R* dy, const std::int32_t* ids, Index N, Index D) {
  __shared__ int found[kThreads / 32];
  const int id = int(blockIdx.x), warp = int(threadIdx.x) / 32;
  float sum[Columns] = {};
  bool any = false;
  for (Index first = 0; first < N; first += kThreads) {
    const Index n = first + threadIdx.x;
    const unsigned mine = __ballot_sync(kAllLanes, n < N && ids[n] == id);
    if (__syncthreads_or(mine != 0) == 0) continue;
    if (threadIdx.x % 32 == 0) found[warp] = int(mine);
    __syncthreads();
    any = true;
    for (int w = 0; w < kThreads / 32; ++w)
      for (unsigned left = unsigned(found[w]); left; left &= left - 1) {
        const R* row = dy + (first + w * 32 + __ffs(int(left)) - 1) * D;
#pragma unroll
        for (int k = 0; k < Columns; ++k) {
          const Index d = threadIdx.x + Index(k) * kThreads;
          if (d < D) sum[k] += to_float(row[d]);
        }
      }
  }
  if (add && !any) return;
#pragma unroll
  for (int k = 0; k < Columns; ++k) {
    const Index d = threadIdx.x + Index(k) * kThreads;
    if (d < D) put(dtable + id * D + d, add, reinterpret_cast<float(&)[1]>(sum[k]));
  }
}

template <class R>
void scatter(const EmbeddingBackward& a, cudaStream_t stream) {
  const Index V = a.dtable.to.shape()[0], D = a.dtable.to.shape()[1], N = a.ids.elements();
  const auto kernel = D <= 4 * kThreads    ? scatter_rows<R, 4>
                      : D <= 16 * kThreads ? scatter_rows<R, 16>
                                           : scatter_rows<R, 64>;
  check(D <= 64 * kThreads, "[embedding] expected at most ", 64 * kThreads, " columns, got ", D);
  kernel<<<blocks_for(V, 1), kThreads, 0, stream>>>(
      a.dtable.to.data<float>(), a.dtable.add, a.dy.data<R>(), a.ids.data<std::int32_t>(), N, D);
  launched("[embedding_backward]");
}

}  // namespace

void CudaBackend::run(const Embedding& a) {
  visit_real(a.y.dtype(), [&]<class R>() {
    gather_rows<<<blocks_for(a.ids.elements(), 1), kThreads, 0, stream_>>>(
        a.y.data<R>(), a.table.data<float>(), a.ids.data<std::int32_t>(), a.table.shape()[1]);
    launched("[embedding]");
  });
}

void CudaBackend::run(const EmbeddingBackward& a) {
  visit_real(a.dy.dtype(), [&]<class R>() { scatter<R>(a, stream_); });
}

}  // namespace tern
