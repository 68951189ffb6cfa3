// Rows of a table by number, and the sums of their gradients.
#include <bit>
#include <cub/device/device_radix_sort.cuh>

#include "cuda/backend/cuda_backend.h"
#include "cuda/common/device.cuh"

namespace tern {

using namespace cuda;

namespace {

constexpr int kThreads = 256;
constexpr int kPiece = int(kEmbeddingPiece);

// A block copies kThreads * V channels of one row: 4 + 2 bytes an element from f32 to bf16, which
// bounds it. row_scale: of codes, else null. Nothing is summed; reproducible.
template <int V, class A, class W>
__global__ void __launch_bounds__(kThreads)
    copy_rows(A* y, const W* table, const float* row_scale, const std::int32_t* ids, Index D) {
  const Index n = blockIdx.x, d = (Index(blockIdx.y) * kThreads + threadIdx.x) * V;
  if (d >= D) return;
  float x[V];
  load(x, table + ids[n] * D + d);
  if (row_scale)
#pragma unroll
    for (int v = 0; v < V; ++v) x[v] = __fdiv_rn(x[v], row_scale[ids[n]]);
  store(y + n * D + d, x);
}

// A thread writes its number: 4 bytes each, latency bounds it. Nothing is summed; reproducible.
__global__ void __launch_bounds__(kThreads) count_up(std::int32_t* to, Index n) {
  const Index i = Index(blockIdx.x) * kThreads + threadIdx.x;
  if (i < n) to[i] = std::int32_t(i);
}

// The rows of dy in the order of their ids, those of one id in their own order, are cut into pieces
// of kPiece. A run is the rows of one id; those that lie within a piece are summed and written at
// once, what a piece holds of a longer one goes to its entry (D) of `entered`, if the run begins
// before the piece, or else of `left`.
template <class W, class A>
struct Runs {
  W* dtable;
  bool add;
  const A* dy;
  const std::int32_t *ids, *rows;  // (N) sorted, and where they were
  float *entered, *left;           // (pieces, D)
  Index N, D;

  __device__ std::int32_t id(Index n) const { return n >= 0 && n < N ? ids[n] : -1; }
};

// A block owns a piece and kThreads * V channels, a thread V channels of every row: dy is read
// once, 8 rows in flight, which bounds it. f32. Reproducible: the order of rows decides the order
// of sums.
template <int V, class W, class A>
__global__ void __launch_bounds__(kThreads) sum_pieces(Runs<W, A> a) {
  constexpr int kBatch = 8;
  __shared__ std::int32_t id[kPiece + 2], row[kPiece];  // ids from the one before the piece
  const Index piece = blockIdx.x, first = piece * kPiece;
  const int count = int(min(Index(kPiece), a.N - first));
  for (int i = int(threadIdx.x); i < count + 2; i += kThreads) id[i] = a.id(first - 1 + i);
  for (int i = int(threadIdx.x); i < count; i += kThreads) row[i] = a.rows[first + i];
  __syncthreads();
  const Index d = (Index(blockIdx.y) * kThreads + threadIdx.x) * V;
  if (d >= a.D) return;
  bool entered = id[0] == id[1];
  float sum[V] = {};
  for (int begin = 0; begin < count; begin += kBatch) {
    float x[kBatch][V];
#pragma unroll
    for (int i = 0; i < kBatch; ++i)
      if (begin + i < count) load(x[i], a.dy + row[begin + i] * a.D + d);
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int n = begin + i;
      if (n >= count) break;
#pragma unroll
      for (int v = 0; v < V; ++v) sum[v] += x[i][v];
      const bool ends = id[n + 2] != id[n + 1];
      if (!ends && n + 1 < count) continue;
      if (entered)
        store(a.entered + piece * a.D + d, sum);
      else if (!ends)
        store(a.left + piece * a.D + d, sum);
      else
        put(a.dtable + id[n + 1] * a.D + d, a.add, sum);
      entered = false;
#pragma unroll
      for (int v = 0; v < V; ++v) sum[v] = 0;
    }
  }
}

// A block takes the run that leaves a piece without having entered it, if there is one, and adds
// what the pieces after it hold of it, in order: 4 bytes a channel and piece. f32; reproducible.
template <int V, class W, class A>
__global__ void __launch_bounds__(kThreads) join_pieces(Runs<W, A> a) {
  const Index d = (Index(blockIdx.y) * kThreads + threadIdx.x) * V, piece = blockIdx.x;
  const Index first = piece * kPiece, end = first + kPiece;
  const std::int32_t id = a.id(end - 1);
  if (d >= a.D || end >= a.N || a.id(end) != id || a.id(first - 1) == id) return;
  float sum[V];
  load(sum, a.left + piece * a.D + d);
  for (Index next = piece + 1; a.id(next * kPiece) == id; ++next) {
    float x[V];
    load(x, a.entered + next * a.D + d);
#pragma unroll
    for (int v = 0; v < V; ++v) sum[v] += x[v];
  }
  put(a.dtable + id * a.D + d, a.add, sum);
}

// (rows or pieces, blocks across the channels)
template <int V>
dim3 grid_of(Index rows, Index D) {
  return dim3(blocks_for(rows, 1), blocks_for(D, kThreads * V));
}

template <int V, class W, class A>
void sum_runs(const Runs<W, A>& runs, cudaStream_t stream) {
  const dim3 grid = grid_of<V>(blocks_for(runs.N, kPiece), runs.D);
  sum_pieces<V><<<grid, kThreads, 0, stream>>>(runs);
  join_pieces<V><<<grid, kThreads, 0, stream>>>(runs);
  launched("[embedding backward]");
}

// sorted_ids and rows: the ids in order, and which row each was, equal ids in the order of rows
void sort_ids(std::int32_t* sorted_ids, std::int32_t* rows, const std::int32_t* ids,
              std::int32_t* numbers, void* memory, Index N, Index V, cudaStream_t stream) {
  check(N < (Index(1) << 31), "[embedding backward] expected fewer than 2^31 ids, got ", N);
  count_up<<<blocks_for(N, kThreads), kThreads, 0, stream>>>(numbers, N);
  launched("[embedding backward] numbers");
  const auto sort = [&](void* temporary, std::size_t& bytes) {
    const auto* in = reinterpret_cast<const std::uint32_t*>(ids);  // no id is negative
    auto* out = reinterpret_cast<std::uint32_t*>(sorted_ids);
    const int bits = std::max(1, int(std::bit_width(std::uint64_t(V - 1))));
    cuda_check(cub::DeviceRadixSort::SortPairs(temporary, bytes, in, out, numbers, rows, int(N), 0,
                                               bits, stream),
               "[embedding backward] sort");
  };
  std::size_t bytes = 0;
  sort(nullptr, bytes);
  check(bytes <= sort_bytes(N), "[embedding backward] expected a sort in ", sort_bytes(N),
        " B, it takes ", bytes);
  sort(memory, bytes);
}

}  // namespace

void CudaBackend::run(const Embedding& a) {
  const Index N = a.ids.elements(), D = a.table.shape()[1];
  if (N * D == 0) return;
  visit_real(a.y.dtype(), [&]<class A>() {
    const auto copy = [&]<class W>() {
      A* const y = a.y.data<A>();
      const W* const table = a.table.data<W>();
      const float* const row_scale = data_or_null<float>(a.row_scale);
      const auto* const ids = a.ids.data<std::int32_t>();
      if (D % 4 == 0 && aligned<16>(y) && aligned<16>(table))
        copy_rows<4><<<grid_of<4>(N, D), kThreads, 0, stream_>>>(y, table, row_scale, ids, D);
      else
        copy_rows<1><<<grid_of<1>(N, D), kThreads, 0, stream_>>>(y, table, row_scale, ids, D);
      launched("[embedding]");
    };
    if (a.table.dtype() == DType::i8)
      copy.template operator()<std::int8_t>();
    else
      visit_real(a.table.dtype(), copy);
  });
}

void CudaBackend::run(const EmbeddingBackward& a) {
  const Index N = a.ids.elements(), V = a.dtable.to.shape()[0], D = a.dtable.to.shape()[1];
  if (!a.dtable.add) fill(a.dtable.to, 0);
  if (N * D == 0) return;
  const Tensor work = workspace(a);
  const Index padded = (N + 63) / 64 * 64, pieces = (N + kPiece - 1) / kPiece;
  auto* const numbers = static_cast<std::int32_t*>(work.raw());
  auto *const rows = numbers + padded, *const ids = rows + padded;
  char* const memory = reinterpret_cast<char*>(ids + padded);
  float* const sums = reinterpret_cast<float*>(memory + (sort_bytes(N) + 255) / 256 * 256);
  sort_ids(ids, rows, a.ids.data<std::int32_t>(), numbers, memory, N, V, stream_);
  visit_real(a.dtable.to.dtype(), [&]<class W>() {
    visit_real(a.dy.dtype(), [&]<class A>() {
      const Runs<W, A> runs{.dtable = a.dtable.to.data<W>(),
                            .add = a.dtable.add,
                            .dy = a.dy.data<A>(),
                            .ids = ids,
                            .rows = rows,
                            .entered = sums,
                            .left = sums + pieces * D,
                            .N = N,
                            .D = D};
      if (D % 4 == 0 && aligned<16>(runs.dtable) && aligned<16>(runs.dy))
        sum_runs<4>(runs, stream_);
      else
        sum_runs<1>(runs, stream_);
    });
  });
}

}  // namespace tern
