// Operands in 8-bit floats (e4m3): rows of dy, weights, and for dw both operands transposed, since
// the tensor cores take 8-bit operands along the summed dimension only.
#include "core/workspace.h"
#include "cuda/common/cluster.cuh"
#include "cuda/common/device.cuh"
#include "cuda/products/product_kernels.h"
#include "cuda/rows/row_fp8.cuh"
#include "cuda/rows/row_layout.cuh"

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
  Fp8Writer{a.to, a.factors}.write<L, bf16>(n, words, D, shared);
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
__global__ void __launch_bounds__(kThreads) transpose_ternary(const TransposeTernary a) {
  __shared__ __align__(16) unsigned char tile[kTile * kPitch];
  const int line = int(threadIdx.x) / 4, part = int(threadIdx.x) % 4 * 16;
  const Index o = Index(blockIdx.y) * kTile, i = Index(blockIdx.x) * kTile;
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
  if (blockIdx.y == 0 && threadIdx.x < kTile && i + threadIdx.x < a.I)
    a.factors[i + threadIdx.x] = 1.0f / *a.scale;
}

// The largest power of two with 127 s max(top, 1e-30) <= 448.
__device__ inline float power_for(float top) {
  int exponent = 0;
  const float mantissa = frexpf(fmaxf(top, 1e-30f), &exponent);  // in [1/2, 1)
  return ldexpf(1.0f, (__fmul_rn(127.0f, mantissa) <= 112.0f ? 2 : 1) - exponent);
}

// One cluster, or where there is none one block: of each row the factor that its activations take,
// and their scale. A maximum has no order: reproducible. Bound by the latency of its loads.
constexpr int kFoldThreads = 1024, kFoldLoads = 8;  // on their way at a time
constexpr int kFoldBlocks = 8;                      // of a cluster

// the largest of all blocks' numbers; NaN wins
__device__ inline float largest_of_cluster(float top) {
  if constexpr (hopper::kClusters) {
    __shared__ float2 tops[kFoldBlocks];
    __shared__ std::uint64_t barrier;
    if (gridDim.x == 1) return top;
    const auto landed = hopper::shared_address(&barrier);
    if (threadIdx.x == 0) {
      hopper::init_barrier(landed, 1);
      hopper::publish_barriers();
    }
    hopper::synchronize_cluster();
    if (threadIdx.x == 0) hopper::arrive_and_expect(landed, sizeof(tops));
    if (threadIdx.x < kFoldBlocks)
      hopper::store_at_block(hopper::shared_address(tops + blockIdx.x), top, 0, landed,
                             threadIdx.x);
    hopper::wait_barrier(landed, 0);  // no block ends before every store to it has landed
    for (const float2& other : tops) top = larger(top, other.x);
  }
  return top;
}

__global__ void __launch_bounds__(kFoldThreads) fold(const FoldFactors a) {
  __shared__ float shared[32];
  const Index step = Index(gridDim.x) * kFoldThreads;
  const Index start = Index(blockIdx.x) * kFoldThreads + threadIdx.x;
  float top[1] = {};
  for (Index first = start; first < a.N; first += step * kFoldLoads) {
    float f[kFoldLoads], scale[kFoldLoads];
#pragma unroll
    for (int k = 0; k < kFoldLoads; ++k) {
      const Index n = first + k * step;
      f[k] = n < a.N ? a.dy_factors[n] : 0.0f;
      scale[k] = n < a.N ? a.row_scale[n] : 1.0f;
    }
#pragma unroll
    for (int k = 0; k < kFoldLoads; ++k) {
      const Index n = first + k * step;
      const float g = __fdiv_rn(f[k], scale[k]);
      top[0] = larger(top[0], g);
      if (n < a.N) a.factors[n] = a.quotients ? f[k] : g;
    }
  }
  reduce_row<0>(top, shared);
  const float most = largest_of_cluster(top[0]), s = isnan(most) ? CUDART_NAN_F : power_for(most);
  for (Index first = start; first < a.N; first += step * kFoldLoads) {
    float f[kFoldLoads];
#pragma unroll
    for (int k = 0; k < kFoldLoads; ++k) {
      const Index n = first + k * step;
      f[k] = n < a.N ? a.factors[n] : 0.0f;
    }
#pragma unroll
    for (int k = 0; k < kFoldLoads; ++k) {
      const Index n = first + k * step;
      if (n < a.N) a.factors[n] = f[k] * s;
    }
  }
  if (start > 0) return;
  a.scalars[0] = a.scalars[2] = __fdiv_rn(1.0f, s);
  a.scalars[1] = a.add ? 1.0f : 0.0f;
  a.scalars[3] = 1.0f;
  a.scalars[4] = s;
}

// --- transposed operands ---

constexpr int kSide = 128;               // rows and columns of a tile
constexpr int kWords = kSide / 4;        // of four rows each, of a column
constexpr int kPiece = 16;               // bytes of a vector
constexpr int kPieces = kSide / kPiece;  // of a row, or of a column

// Sixteen neighbours of a row, or of what becomes codes of it.
struct CodesOfRow {
  __device__ uint4 operator()(Index n, Index column) const {
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
  __device__ uint4 operator()(Index n, Index column) const {
    const uint4 q = __ldcs(reinterpret_cast<const uint4*>(from + n * columns + column));
    const float factor = factors[n];
    return {four(q.x, factor), four(q.y, factor), four(q.z, factor), four(q.w, factor)};
  }
  const std::int8_t* from;
  const float* factors;
  Index columns;
};
struct ScaledQuotientsOfRow {
  __device__ uint4 operator()(Index n, Index column) const {
    float x[2][8];
    load(x[0], from + n * columns + column);
    load(x[1], from + n * columns + column + 8);
    const auto four = [&](const float* v) {
      return four_codes(v[0], v[1], v[2], v[3], factors[n]);
    };
    return {four(x[0]), four(x[0] + 4), four(x[1]), four(x[1] + 4)};
  }
  const bf16* from;
  const float* factors;
  Index columns;
};

// A block owns 128 rows by 128 columns, a thread 4 rows by 16 columns: it loads four vectors, turns
// their 4 x 4 bytes in registers and puts words of four rows into shared memory, a column's vectors
// swapped so that a warp's words lie in different banks. From there warps write whole lines of
// transposed rows. 2 bytes an element (3 of quotients), which bound it. No sums: reproducible.
template <class Row>
__global__ void __launch_bounds__(kThreads)
    transpose(std::uint8_t* to, const Row row, Index rows, Index columns, Index pitch) {
  __shared__ __align__(16) unsigned tile[kSide * kWords];
  const int piece = int(threadIdx.x) % kPieces, four = int(threadIdx.x) / kPieces;
  const Index n0 = Index(blockIdx.y) * kSide, c0 = Index(blockIdx.x) * kSide;
  uint4 vectors[4];
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    const Index n = n0 + four * 4 + r, column = c0 + piece * kPiece;
    vectors[r] = n < rows && column < columns ? row(n, column) : uint4{};
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

template <class Row>
void launch(const TransposeRows& a, const Row& row, cudaStream_t stream) {
  const dim3 tiles(unsigned(blocks_for(a.columns, kSide)), unsigned(blocks_for(a.rows, kSide)));
  transpose<<<tiles, kThreads, 0, stream>>>(a.to, row, a.rows, a.columns, turned_rows(a.rows));
  launched("[transpose_fp8]");
}

// A block owns a row, a thread every 256th column; for sizes that the library does not take.
// sizeof(T) + 4 bytes an element. The CPU's values. Reproducible.
template <class T>
__global__ void __launch_bounds__(kThreads)
    scale_rows(float* to, const T* from, const float* factors, int columns) {
  const Index row = Index(blockIdx.x) * columns;
  const float factor = factors[blockIdx.x];
  for (int i = int(threadIdx.x); i < columns; i += kThreads)
    to[row + i] = isnan(factor) ? factor : float(__nv_fp8_e4m3(float(from[row + i]) * factor));
}

// A block owns a row, a thread every 256th column. Whole numbers, which any order sums exactly:
// reproducible.
template <class T>
__global__ void __launch_bounds__(kThreads)
    count_small(double* count, const T* from, const float* factors, int columns) {
  const Index row = Index(blockIdx.x) * columns;
  const float factor = factors[blockIdx.x];
  int small = 0;
  for (int i = int(threadIdx.x); i < columns; i += kThreads) {
    const float x = float(from[row + i]);
    small += x != 0 && fabsf(float(__nv_fp8_e4m3(x * factor))) < 0x1p-6f;
  }
  small = __reduce_add_sync(~0u, small);
  if (threadIdx.x % 32 == 0 && small) atomicAdd(count, double(small));
}
__global__ void divide(double* number, double by) {
  *number /= by;
}

// f(x's elements)
template <class F>
void visit_inputs(const Tensor& x, F&& f) {
  if (x.dtype() == DType::i8)
    f(x.data<std::int8_t>());
  else if (x.dtype() == DType::bf16)
    f(x.data<bf16>());
  else
    f(x.data<float>());
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

void transpose_ternary_fp8(const TransposeTernary& a, cudaStream_t stream) {
  check(a.O % 16 == 0 && a.I % 16 == 0, "[transpose_ternary_fp8] expected multiples of 16, got (",
        a.O, ", ", a.I, ")");
  const dim3 tiles(unsigned(blocks_for(a.I, kTile)), unsigned(blocks_for(a.O, kTile)));
  transpose_ternary<<<tiles, kThreads, 0, stream>>>(a);
  launched("[transpose_ternary_fp8]");
}

void fold_factors(const FoldFactors& a, cudaStream_t stream) {
  const int blocks = a.clusters ? kFoldBlocks : 1;
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim = {unsigned(blocks), 1, 1};
  cudaLaunchConfig_t launch{};
  launch.gridDim = unsigned(blocks);
  launch.blockDim = kFoldThreads;
  launch.stream = stream;
  launch.attrs = &cluster;
  launch.numAttrs = a.clusters ? 1 : 0;
  cuda_check(cudaLaunchKernelEx(&launch, fold, a), "[fold_factors]");
}

void transpose_codes_fp8(const TransposeRows& to, const std::uint8_t* codes, cudaStream_t stream) {
  launch(to, CodesOfRow{codes, to.columns}, stream);
}

void transpose_inputs_fp8(const TransposeRows& to, const Tensor& x, const float* factors,
                          cudaStream_t stream) {
  if (x.dtype() == DType::i8)
    launch(to, ScaledCodesOfRow{x.data<std::int8_t>(), factors, to.columns}, stream);
  else
    launch(to, ScaledQuotientsOfRow{x.data<bf16>(), factors, to.columns}, stream);
}

void scale_inputs_fp8(float* to, const Tensor& x, const float* factors, cudaStream_t stream) {
  const Index I = x.shape().last(), N = x.elements() / I;
  visit_inputs(x, [&](const auto* from) {
    scale_rows<<<unsigned(N), kThreads, 0, stream>>>(to, from, factors, int(I));
    launched("[scale_inputs_fp8]");
  });
}

void measure_underflow(double* share, const Tensor& x, const float* factors, cudaStream_t stream) {
  const Index I = x.shape().last(), N = x.elements() / I;
  cuda_check(cudaMemsetAsync(share, 0, sizeof(double), stream), "[measure_underflow]");
  visit_inputs(x, [&](const auto* from) {
    count_small<<<unsigned(N), kThreads, 0, stream>>>(share, from, factors, int(I));
    launched("[measure_underflow]");
  });
  divide<<<1, 1, 0, stream>>>(share, double(x.elements()));
  launched("[measure_underflow]");
}

}  // namespace tern::cuda
