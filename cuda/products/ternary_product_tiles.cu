#include "cuda/products/ternary_product.cuh"
#include "cuda/products/tile_product.cuh"

namespace tern::cuda {
namespace {

constexpr int kThreads = 32 * kTileWarps;

// Groups of columns on their way to a warp, as registers allow.
template <int T, int N>
constexpr int kAhead = T* N > 4 ? 1 : 4;

// Block: T panels of outputs and 8 N rows; warps divide the columns. O I / 4 bytes of weights, 8 N
// rows at a time, bound few rows, the tensor cores more.
// Sums in int32: exact, so reproducible.
template <class A, int T, int N>
__global__ void __launch_bounds__(kThreads) ternary_product_few(const IntegerProduct<A> p) {
  extern __shared__ int4 parts[];
  __shared__ int code_sums[N * kTileRows];
  const int thread = int(threadIdx.x), lane = thread % 32;
  const int all_panels = (p.O + kPanelOutputs - 1) / kPanelOutputs;
  const int first_panel = int(blockIdx.x) * T, first_row = int(blockIdx.y) * N * kTileRows;
  if (thread < N * kTileRows) code_sums[thread] = 0;
  __syncthreads();
  const char* panels[T];
#pragma unroll
  for (int t = 0; t < T; ++t)
    panels[t] = reinterpret_cast<const char*>(p.t) +
                Index(min(first_panel + t, all_panels - 1)) * kPanelOutputs * p.I / 4 +
                lane_in_panel(lane);
  const std::int8_t* rows[N];
#pragma unroll
  for (int n = 0; n < N; ++n)
    rows[n] =
        p.q + Index(min(first_row + n * kTileRows + lane / 4, p.N - 1)) * p.I + lane_in_row(lane);
  int sums[T][N][4] = {}, of_codes[N] = {};
  multiply_tiles<T, 1, N, kAhead<T, N>>(
      sums, panels, rows, 0, p.I, [] {},
      [&](const uint4(&codes)[N]) {
#pragma unroll
        for (int n = 0; n < N; ++n)
          for (const unsigned four : {codes[n].x, codes[n].y, codes[n].z, codes[n].w})
            of_codes[n] = __dp4a(int(four), 0x01010101, of_codes[n]);
      });
#pragma unroll
  for (int n = 0; n < N; ++n) atomicAdd(&code_sums[n * kTileRows + lane / 4], of_codes[n]);
  store_parts(parts, sums);
  __syncthreads();
  const float scale = *p.scale;
#pragma unroll 1
  for (int item = thread; item < T * N * 32; item += kThreads) {
    const int of = item % 32, n = item / 32 % N, t = item / 32 / N;
    const int4 all = sum_parts<T, N>(parts, t, n, of);
    const int o = (first_panel + t) * kPanelOutputs + of / 4 * 2;
    const int row = n * kTileRows + of % 4 * 2;
    const auto write = [&](int r, int first, int second) {
      if (first_row + r >= p.N) return;
      const RowFactor<A> factor(p.row_scale[first_row + r], scale);
      A* to = p.y + Index(first_row + r) * p.O + o;
      if (o < p.O) to[0] = from_float<A>(factor(float(first - code_sums[r])));
      if (o + 1 < p.O) to[1] = from_float<A>(factor(float(second - code_sums[r])));
    };
    write(row, all.x, all.z);
    write(row + 1, all.y, all.w);
  }
}

template <class A, int T, int N>
void launch(const IntegerProduct<A>& p, cudaStream_t stream) {
  constexpr int kBytes = kTileWarps * T * N * 32 * int(sizeof(int4));
  const auto kernel = ternary_product_few<A, T, N>;
  cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes),
             "[ternary_product_tiles] shared memory");
  constexpr int kOutputs = T * kPanelOutputs, kRows = N * kTileRows;
  kernel<<<dim3(unsigned((p.O + kOutputs - 1) / kOutputs), unsigned((p.N + kRows - 1) / kRows)),
           kThreads, kBytes, stream>>>(p);
  launched("[ternary_product_tiles]");
}

}  // namespace

template <class A>
void ternary_product_tiles(const IntegerProduct<A>& p, cudaStream_t stream) {
  if (p.N == 0 || p.O == 0) return;
  if (p.N <= kTileRows)
    launch<A, 1, 1>(p, stream);
  else if (p.N <= 4 * kTileRows)
    launch<A, 1, 4>(p, stream);
  else
    launch<A, 4, 4>(p, stream);
}

template void ternary_product_tiles(const IntegerProduct<float>&, cudaStream_t);
template void ternary_product_tiles(const IntegerProduct<bf16>&, cudaStream_t);

}  // namespace tern::cuda
