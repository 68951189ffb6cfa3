// Operands in 8-bit floats (e4m3): rows of dy, weights, and for dw both operands transposed, since
// the tensor cores take 8-bit operands along the summed dimension only.
#include "core/workspace.h"
#include "cuda/common/device.cuh"
#include "cuda/products/product_kernels.h"
#include "cuda/rows/row_fp8.cuh"
#include "cuda/rows/row_layout.cuh"
#include "cuda/rows/row_walk.cuh"
#include "cuda/rows/row_writer.cuh"

namespace tern::cuda {
namespace {

constexpr int kThreads = 256;

// A block owns a row, a thread its Items * 4 columns. 3 bytes an element, which bound it. f32, and
// exactly the CPU's codes. Reproducible: a maximum has no order.
template <class L>
__global__ void __launch_bounds__(L::bound) round_rows(const RoundRows a) {
  __shared__ float shared[32];
  const Index n = blockIdx.x;
  const int D = int(a.columns);
  Word<bf16, L::V> words[1][L::Items];
  load_words<L>(words[0], a.dy + n * D, D);
  float top[1] = {largest_of_words<L, bf16>(words)};
  reduce_row<0>(top, shared);
  Fp8Writer{a.to, a.factors}.write<L, bf16>(n, words, D, top[0]);
}

template <class L>
void round_rows_as(const RoundRows& a, cudaStream_t stream) {
  launch_rows("[round_rows_fp8]", round_rows<L>, a, a.rows, L::threads(a.columns), 0, stream);
}

template <class T>
struct Through {
  float* to;
  float* factors;  // null: to is multiplied by them
  const T* dy;
  int D;
};

// A block owns a row, a thread every 256th column. 2 sizeof(T) + 4 bytes an element: bound by
// memory; for sizes that the library does not take. f32, the CPU's values. Reproducible.
template <class T>
__global__ void __launch_bounds__(kThreads) round_through(const Through<T> a) {
  __shared__ float shared[32];
  const Index row = Index(blockIdx.x) * a.D;
  float top[1] = {};
  for (int i = int(threadIdx.x); i < a.D; i += kThreads)
    top[0] = larger(top[0], fabsf(to_float(a.dy[row + i])));
  reduce_row<0>(top, shared);
  const Fp8Scale scale(top[0]);
  const auto code = [&](float x) {
    return scale.finite || !a.factors ? float(__nv_fp8_e4m3(x * scale.value)) : 0.0f;
  };
  for (int i = int(threadIdx.x); i < a.D; i += kThreads)
    a.to[row + i] = code(to_float(a.dy[row + i])) * (a.factors ? 1.0f : scale.factor());
  if (a.factors && threadIdx.x == 0) a.factors[blockIdx.x] = scale.factor();
}

// A block owns a row, a thread every 256th column. 5 bytes an element; for sizes that the library
// does not take.
__global__ void __launch_bounds__(kThreads)
    expand_rows(float* to, const float* factors, const __nv_fp8_e4m3* codes, int D) {
  const Index row = Index(blockIdx.x) * D;
  const float factor = factors ? factors[blockIdx.x] : 1.0f;
  for (int i = int(threadIdx.x); i < D; i += kThreads) to[row + i] = float(codes[row + i]) * factor;
}

constexpr int kTile = 64, kPitch = kTile + 4;  // so that a column's bytes lie in different banks

// A block owns 64 x 64 codes, a thread 16 neighbours of a row and then 16 of a column. 2 bytes an
// element, which bound it. -1, 0, 1 are e4m3 0xb8, 0x00, 0x38. No sums: reproducible.
__device__ inline void transpose_ternary(const TransposeTernary& a, unsigned tile_of_weights) {
  __shared__ __align__(16) unsigned char tile[kTile * kPitch];
  const unsigned across = unsigned((a.I + kTile - 1) / kTile);
  const int line = int(threadIdx.x) / 4, part = int(threadIdx.x) % 4 * 16;
  const unsigned down = tile_of_weights / across;
  const Index o = Index(down) * kTile, i = Index(tile_of_weights - down * across) * kTile;
  uint4 codes{};
  load_if(o + line < a.O && i + part < a.I, codes, a.t + (o + line) * a.I + i + part);
  auto* to = reinterpret_cast<unsigned*>(tile + line * kPitch + part);
  const unsigned four[] = {codes.x, codes.y, codes.z, codes.w};
#pragma unroll
  for (int k = 0; k < 4; ++k) to[k] = (four[k] & 0x80808080u) | (four[k] & 0x01010101u) * 0x38u;
  __syncthreads();
  unsigned turned[4] = {};
#pragma unroll
  for (int k = 0; k < 16; ++k)
    turned[k / 4] |= unsigned(tile[(part + k) * kPitch + line]) << (k % 4 * 8);
  store_if(i + line < a.I && o + part < a.O, a.to + (i + line) * a.O + o + part,
           make_uint4(turned[0], turned[1], turned[2], turned[3]));
  if (down == 0 && threadIdx.x < kTile && i + threadIdx.x < a.I)
    a.factors[i + threadIdx.x] = 1.0f / *a.scale;
}

// One of kFoldParts blocks: a part of the rows. A maximum has no order: reproducible. Bound by the
// latency of its loads.
__device__ inline void fold_rows(const FoldFactors& a) {
  __shared__ float shared[32];
  float top[1] = {};
  for (Index n = Index(blockIdx.x) * kThreads + threadIdx.x; n < a.N; n += kFoldParts * kThreads) {
    const float g = __fdiv_rn(a.dy_factors[n], a.row_scale[n]);
    top[0] = larger(top[0], g);
    a.factors[n] = g;
  }
  reduce_row<0>(top, shared);
  if (threadIdx.x == 0) a.maxima[blockIdx.x] = top[0];
}

// Blocks that fold, and behind them blocks that transpose.
__global__ void __launch_bounds__(kThreads)
    prepare(const TransposeTernary weights, const FoldFactors fold, unsigned fold_blocks) {
  if (blockIdx.x < fold_blocks)
    fold_rows(fold);
  else
    transpose_ternary(weights, blockIdx.x - fold_blocks);
}

// s: the largest power of two with 127 s max(top, 1e-30) <= 448, top the largest of the maxima.
// Whole warps ask.
__device__ inline float fold_scale(const float* maxima) {
  static_assert(kFoldParts == 2 * 32);
  const int lane = int(threadIdx.x) % 32;
  const float top = largest_of_warp(larger(maxima[lane], maxima[lane + 32]));
  int exponent = 0;
  const float mantissa = frexpf(fmaxf(top, 1e-30f), &exponent);  // in [1/2, 1)
  const float s = ldexpf(1.0f, (__fmul_rn(127.0f, mantissa) <= 112.0f ? 2 : 1) - exponent);
  return isnan(top) ? CUDART_NAN_F : s;
}
__device__ inline void write_scalars(const DwScalars& a, float s) {
  a.to[0] = a.to[2] = __fdiv_rn(1.0f, s);
  a.to[1] = a.add ? 1.0f : 0.0f;
  a.to[3] = 1.0f;
  a.to[4] = s;
}

// --- transposed operands ---

constexpr int kSide = 128;               // rows and columns of a tile
constexpr int kWords = kSide / 4;        // of four rows each, of a column
constexpr int kPiece = 16;               // bytes of a vector
constexpr int kPieces = kSide / kPiece;  // of a row, or of a column

// Sixteen neighbours of a row, or of what becomes codes of it.
struct CodesOfRow {
  __device__ uint4 operator()(Index n, Index column, float) const {
    return __ldcs(reinterpret_cast<const uint4*>(from + n * columns + column));
  }
  const std::uint8_t* from;
  Index columns;
};
__device__ inline unsigned four_codes(float a, float b, float c, float d, float factor) {
  const auto two = [=](float low, float high) {
    return unsigned(
        __nv_cvt_float2_to_fp8x2({low * factor, high * factor}, __NV_SATFINITE, __NV_E4M3));
  };
  return two(a, b) | two(c, d) << 16;
}
struct ScaledCodesOfRow {
  // a byte of int8 + 128 behind the bits of 2^23 is a float
  __device__ static float number(unsigned biased, unsigned selector) {
    return __uint_as_float(__byte_perm(biased, 0x4b000000u, selector)) - 8388736.0f;
  }
  __device__ static unsigned four(unsigned q, float factor) {
    const unsigned biased = q ^ 0x80808080u;
    return four_codes(number(biased, 0x7540), number(biased, 0x7541), number(biased, 0x7542),
                      number(biased, 0x7543), factor);
  }
  __device__ uint4 operator()(Index n, Index column, float s) const {
    const uint4 q = __ldcs(reinterpret_cast<const uint4*>(from + n * columns + column));
    const float factor = factors[n] * s;
    return {four(q.x, factor), four(q.y, factor), four(q.z, factor), four(q.w, factor)};
  }
  __device__ float code(Index n, Index column) const { return float(from[n * columns + column]); }
  const std::int8_t* from;
  const float* factors;
  Index columns;
};
// The same of codes that the kernels of norms made of these numbers, made again with their
// operations (cuda/rows/norm_quantize.cu, gated_norm_quantize.cu).
struct MadeCodesOfRow {
  __device__ float multiplier(Index n) const {
    const float2 r = rstd[n];
    return (block ? r.x : 1.0f) * r.y * row_scale[n];
  }
  // s: of the sum, or of g beside h
  __device__ static float made(float s, float h, bool gated, float b, float w, float by) {
    const float u = gated ? h * (tern::cuda::gate(h) * s * b) : s * b;
    return __uint_as_float(code_of(w * u, by)) - kRounding;
  }
  __device__ uint2 eight(Index n, Index column, float by, float factor) const {
    float s[8], h[8] = {}, b[8], w[8], q[8];
    load(s, sum + n * columns + column);
    if (gate) load(h, gate + n * columns + column);
    load(w, weight + column);
#pragma unroll
    for (float& x : b) x = 1;
    if (block) load(b, block + column);
#pragma unroll
    for (int i = 0; i < 8; ++i) q[i] = made(s[i], h[i], gate != nullptr, b[i], w[i], by);
    return {four_codes(q[0], q[1], q[2], q[3], factor), four_codes(q[4], q[5], q[6], q[7], factor)};
  }
  __device__ uint4 operator()(Index n, Index column, float s) const {
    const float by = multiplier(n), factor = factors[n] * s;
    const uint2 low = eight(n, column, by, factor), high = eight(n, column + 8, by, factor);
    return {low.x, low.y, high.x, high.y};
  }
  __device__ float code(Index n, Index column) const {
    const Index at = n * columns + column;
    return made(to_float(sum[at]), gate ? to_float(gate[at]) : 0, gate != nullptr,
                block ? block[column] : 1, weight[column], multiplier(n));
  }
  const bf16 *sum, *gate;
  const float2* rstd;
  const float *block, *weight, *row_scale, *factors;
  Index columns;
};

// A block owns 128 rows by 128 columns, a thread 4 rows by 16 columns: it loads four vectors, turns
// their 4 x 4 bytes in registers and puts words of four rows into shared memory, a column's vectors
// swapped so that a warp's words lie in different banks. From there warps write whole lines of
// transposed rows.
template <class Row>
__device__ inline void transpose(unsigned (&tile)[kSide * kWords], std::uint8_t* to, const Row& row,
                                 float s, Index rows, Index tile_of_columns) {
  const int piece = int(threadIdx.x) % kPieces, four = int(threadIdx.x) / kPieces;
  const Index n0 = Index(blockIdx.y) * kSide, c0 = tile_of_columns * kSide;
  const Index columns = row.columns, pitch = turned_rows(rows);
  uint4 vectors[4];
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    const Index n = n0 + four * 4 + r, column = c0 + piece * kPiece;
    vectors[r] = n < rows && column < columns ? row(n, column, s) : uint4{};
  }
  unsigned* const to_tile = tile + piece * kPiece * kWords + (four ^ piece * 4);
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const auto word = [&](int r) { return (&vectors[r].x)[k]; };
    const unsigned a = __byte_perm(word(0), word(1), 0x5140);
    const unsigned b = __byte_perm(word(2), word(3), 0x5140);
    const unsigned c = __byte_perm(word(0), word(1), 0x7362);
    const unsigned d = __byte_perm(word(2), word(3), 0x7362);
    to_tile[(4 * k + 0) * kWords] = __byte_perm(a, b, 0x5410);
    to_tile[(4 * k + 1) * kWords] = __byte_perm(a, b, 0x7632);
    to_tile[(4 * k + 2) * kWords] = __byte_perm(c, d, 0x5410);
    to_tile[(4 * k + 3) * kWords] = __byte_perm(c, d, 0x7632);
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const int column = k * (kSide / 4) + four;
    const unsigned* from = tile + column * kWords + (piece ^ column / kPiece) * 4;
    if (c0 + column < columns)
      *reinterpret_cast<uint4*>(to + (c0 + column) * pitch + n0 + piece * kPiece) =
          *reinterpret_cast<const uint4*>(from);
  }
}

template <class Inputs>
struct Operands {
  std::uint8_t *dy_to, *x_to;
  DwScalars scalars;
  CodesOfRow dy;
  Inputs x;
  const float* maxima;
  Index rows;
  unsigned dy_tiles;  // across
};

// Tiles of dy, and behind them tiles of x. 2 bytes an element (3 or 5 of codes that are made),
// bound by the L2 cache. No sums: reproducible.
template <class Inputs>
__global__ void __launch_bounds__(kThreads)
    transpose_operands(const __grid_constant__ Operands<Inputs> a) {
  __shared__ __align__(16) unsigned tile[kSide * kWords];
  if (blockIdx.x < a.dy_tiles)
    return transpose(tile, a.dy_to, a.dy, 1.0f, a.rows, Index(blockIdx.x));
  const float s = fold_scale(a.maxima);
  transpose(tile, a.x_to, a.x, s, a.rows, Index(blockIdx.x - a.dy_tiles));
  if (blockIdx.x == a.dy_tiles && blockIdx.y == 0 && threadIdx.x == 0) write_scalars(a.scalars, s);
}

// A block owns a row, a thread every 256th column; for sizes that the library does not take.
// 5 bytes an element. The CPU's values. Reproducible.
__global__ void __launch_bounds__(kThreads)
    scale_rows(float* to, const DwScalars scalars, const std::int8_t* q, const RowFactors rows,
               int columns) {
  const Index row = Index(blockIdx.x) * columns;
  const float s = fold_scale(rows.maxima), factor = rows.factors[blockIdx.x] * s;
  if (blockIdx.x == 0 && threadIdx.x == 0) write_scalars(scalars, s);
  for (int i = int(threadIdx.x); i < columns; i += kThreads)
    to[row + i] = isnan(factor) ? factor : float(__nv_fp8_e4m3(float(q[row + i]) * factor));
}

// A block owns a row, a thread every 256th column. Whole numbers, which any order sums exactly:
// reproducible.
template <class Inputs>
__global__ void __launch_bounds__(kThreads)
    count_small(double* count, const Inputs x, const float* maxima) {
  const float factor = x.factors[blockIdx.x] * fold_scale(maxima);
  int small = 0;
  for (int i = int(threadIdx.x); i < x.columns; i += kThreads) {
    const float q = x.code(blockIdx.x, i);
    small += q != 0 && fabsf(float(__nv_fp8_e4m3(q * factor))) < 0x1p-6f;
  }
  small = __reduce_add_sync(~0u, small);
  if (threadIdx.x % 32 == 0 && small) atomicAdd(count, double(small));
}
__global__ void divide(double* number, double by) {
  *number /= by;
}

// f(the inputs' codes: what reads them, or what makes them)
template <class F>
void visit_inputs(const TransposeOperands& a, F&& f) {
  if (a.q) return f(ScaledCodesOfRow{a.q, a.factors.factors, a.I});
  const NormedRows& of = a.x_of;
  f(MadeCodesOfRow{.sum = of.sum.data<bf16>(),
                   .gate = data_or_null<bf16>(of.gate),
                   .rstd = reinterpret_cast<const float2*>(of.rstd.data<float>()),
                   .block = data_or_null<float>(of.block),
                   .weight = of.weight.data<float>(),
                   .row_scale = a.row_scale,
                   .factors = a.factors.factors,
                   .columns = a.I});
}

}  // namespace

void round_rows_fp8(const RoundRows& a, cudaStream_t stream) {
  check(a.columns % 16 == 0 && a.columns <= WideRow::widest,
        "[round_rows_fp8] expected rows of a multiple of 16 elements, at most ", WideRow::widest,
        ", got ", a.columns);
  if (a.columns <= LongRow::widest)
    round_rows_as<LongRow>(a, stream);
  else
    round_rows_as<WideRow>(a, stream);
}

void expand_rows_fp8(float* to, const float* factors, const Tensor& codes, cudaStream_t stream) {
  const auto [N, D] = dims<2>(codes, "[expand_rows_fp8] codes (N, O)");
  expand_rows<<<unsigned(N), kThreads, 0, stream>>>(
      to, factors, static_cast<const __nv_fp8_e4m3*>(codes.raw()), int(D));
  launched("[expand_rows_fp8]");
}

void round_rows_through_fp8(float* to, float* factors, const Tensor& dy, cudaStream_t stream) {
  const Index D = dy.shape().last(), N = dy.elements() / D;
  visit_real(dy.dtype(), [&]<class T>() {
    launch_rows("[round_rows_through_fp8]", round_through<T>,
                Through<T>{.to = to, .factors = factors, .dy = dy.data<T>(), .D = int(D)}, N,
                kThreads, 0, stream);
  });
}

void prepare_fp8(const TransposeTernary& weights, const FoldFactors& fold, cudaStream_t stream) {
  check(weights.O % 16 == 0 && weights.I % 16 == 0, "[prepare_fp8] expected multiples of 16, got (",
        weights.O, ", ", weights.I, ")");
  const unsigned fold_blocks = fold.factors ? kFoldParts : 0;
  const Index tiles =
      weights.to ? Index(blocks_for(weights.O, kTile)) * blocks_for(weights.I, kTile) : 0;
  prepare<<<blocks_for(tiles + fold_blocks, 1), kThreads, 0, stream>>>(weights, fold, fold_blocks);
  launched("[prepare_fp8]");
}

void transpose_operands_fp8(const TransposeOperands& a, cudaStream_t stream) {
  check(a.O % kPiece == 0 && a.I % kPiece == 0,
        "[transpose_operands_fp8] expected multiples of 16, got O ", a.O, ", I ", a.I);
  const auto tiles = [](Index columns) { return unsigned(blocks_for(columns, kSide)); };
  visit_inputs(a, [&]<class Inputs>(const Inputs& x) {
    const Operands<Inputs> task{.dy_to = a.dy_to,
                                .x_to = a.x_to,
                                .scalars = a.scalars,
                                .dy = {a.codes, a.O},
                                .x = x,
                                .maxima = a.factors.maxima,
                                .rows = a.rows,
                                .dy_tiles = tiles(a.O)};
    const dim3 grid(task.dy_tiles + tiles(a.I), tiles(a.rows));
    transpose_operands<<<grid, kThreads, 0, stream>>>(task);
    launched("[transpose_operands_fp8]");
  });
}

void scale_inputs_fp8(float* to, const DwScalars& scalars, const Tensor& q,
                      const RowFactors& factors, cudaStream_t stream) {
  const Index I = q.shape().last(), N = q.elements() / I;
  scale_rows<<<unsigned(N), kThreads, 0, stream>>>(to, scalars, q.data<std::int8_t>(), factors,
                                                   int(I));
  launched("[scale_inputs_fp8]");
}

void measure_underflow(double* share, const TransposeOperands& a, cudaStream_t stream) {
  cuda_check(cudaMemsetAsync(share, 0, sizeof(double), stream), "[measure_underflow]");
  visit_inputs(a, [&](const auto& x) {
    count_small<<<unsigned(a.rows), kThreads, 0, stream>>>(share, x, a.factors.maxima);
    launched("[measure_underflow]");
  });
  divide<<<1, 1, 0, stream>>>(share, double(a.rows * a.I));
  launched("[measure_underflow]");
}

}  // namespace tern::cuda
