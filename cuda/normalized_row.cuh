// The last stage of every fused quantiser and the first of its gradient, on a row in registers.
#pragma once

#include <math_constants.h>

#include "cuda/row_layout.cuh"
#include "cuda/row_reduction.cuh"

namespace tern::cuda {

// 1 / sqrt(mean + eps), to 2 ulp
__device__ inline float inverse_rms(float sum_of_squares, float inverse_D, float eps) {
  return rsqrtf(sum_of_squares * inverse_D + eps);
}

// round(x * scale) + kRounding, halves to even, for results below 2^22: the addition rounds, and
// leaves the integer in the low byte. The multiplication must not fuse with it, since the CPU
// rounds the product too.
constexpr float kRounding = 12582912.0f;  // 1.5 * 2^23
__device__ inline unsigned code_of(float x, float scale) {
  return __float_as_uint(__fadd_rn(__fmul_rn(x, scale), kRounding));
}
__device__ inline void store_codes(bool inside, std::int8_t* q, const unsigned (&code)[1],
                                   unsigned mask) {
  if (inside) *q = std::int8_t(code[0] & mask);
}
__device__ inline void store_codes(bool inside, std::int8_t* q, const unsigned (&code)[4],
                                   unsigned mask) {
  const unsigned low = __byte_perm(code[0], code[1], 0x0040);
  const unsigned high = __byte_perm(code[2], code[3], 0x0040);
  store_if(inside, q, __byte_perm(low, high, 0x5410) & mask);
}

// The scale of a row whose elements are at most `largest` by magnitude: codes up to 127 then,
// without a clamp.
struct RowScale {
  explicit __device__ RowScale(float largest)
      : value(127.0f / fmaxf(largest, 1e-5f)), finite(isfinite(largest)) {}
  __device__ float stored() const { return finite ? value : CUDART_NAN_F; }
  float value;
  bool finite;
};

// q = round(e * factor * s), s the scale of top * factor, top the largest |e| of the row. Returns
// s; NaN, and zero codes, if the row is not finite.
template <class L>
__device__ inline float write_codes(std::int8_t* q, const typename L::Row& e, float factor,
                                    float top, int D) {
  const RowScale scale(top * factor);
  std::int8_t* piece = q + L::column(0);
#pragma unroll
  for (int i = 0; i < L::Items; ++i) {
    unsigned code[L::V];
#pragma unroll
    for (int v = 0; v < L::V; ++v) code[v] = code_of(e[i][v], factor * scale.value);
    store_codes(L::column(i) < D, piece + i * L::step, code, scale.finite ? ~0u : 0u);
  }
  return scale.stored();
}

// One consumer of a normalised row. What it writes is e * factor, e the row times its weight: as
// codes, or by the other writer as real numbers.
struct CodeWriter {
  CodeWriter() = default;
  explicit CodeWriter(const NormalizedRow& row)
      : weight(row.weight.data<float>()),
        q(row.y.q.data<std::int8_t>()),
        scale(row.y.row_scale.data<float>()) {}

  template <class L>
  __device__ void write(Index n, typename L::Row& e, float factor, float top, int D) const {
    const float s = write_codes<L>(q + n * D, e, factor, top, D);
    if (threadIdx.x == 0) scale[n] = s;
  }

  const float* weight = nullptr;  // null: no such consumer
  std::int8_t* q = nullptr;
  float* scale = nullptr;
};

// Writes e * factor itself, or with a scale the quotients: the codes that CodeWriter would write,
// times 1 / s, the bits that expand_rows (cuda/expand.h) makes of those.
template <class A>
struct RealWriter {
  RealWriter() = default;
  explicit RealWriter(const NormalizedRow& row)
      : weight(row.weight.data<float>()),
        to(row.y.q.data<A>()),
        scale(data_or_null<float>(row.y.row_scale)) {}

  template <class L>
  __device__ void write(Index n, typename L::Row& e, float factor, float top, int D) const {
    if (scale) {
      const RowScale s(top * factor);
      const float inverse = quotient_factor(s.stored());
      each<L>([&](int i, int v) {
        e[i][v] = (__uint_as_float(code_of(e[i][v], factor * s.value)) - kRounding) * inverse;
      });
      if (threadIdx.x == 0) scale[n] = s.stored();
    } else {
      each<L>([&](int i, int v) { e[i][v] *= factor; });
    }
    store_row<L>(to + n * D, e, D);
  }

  const float* weight = nullptr;  // null: no such consumer
  A* to = nullptr;
  float* scale = nullptr;
};

// f.operator()<Writer>(): what writes rows like this one
template <class A, class F>
void visit_writer(const NormalizedRow& row, F&& f) {
  if (row.y.q.dtype() == DType::i8) return f.template operator()<CodeWriter>();
  f.template operator()<RealWriter<A>>();
}

// e, a consumer's weight, becomes u * weight; returns this thread's largest |e|
template <class L>
__device__ inline float weigh(typename L::Row& e, const typename L::Row& u) {
  float top = 0;
  each<L>([&](int i, int v) {
    e[i][v] *= u[i][v];
    top = larger(top, fabsf(e[i][v]));
  });
  return top;
}

// A row p with rstd r leaves the norm as p * r * weight; z is the gradient of p * r. The gradient
// of p is r * (z - p * mean), mean = r^2 * sum(z p) / D.
//
// If p itself is x * g, x = s * outer a normalised row, the gradient of s needs the sum of dp * p
// as well: r * (sum(z p) - mean * sum(p^2)), from sums that are at hand before dp is. So one
// reduction serves both norms.
struct NormMeans {
  // sums: of z * p, of p * p
  __device__ NormMeans(const float (&sums)[2], float outer, float r, float inverse_D)
      : inner_mean(sums[0] * inverse_D * r * r),
        outer_mean(r * (sums[0] - inner_mean * sums[1]) * inverse_D * outer) {}
  float inner_mean;  // dp = r * (z - p * inner_mean)
  float outer_mean;  // ds = outer * dx - x * outer_mean, dx = dp * g
};

// 1 / (1 + exp(-x)), to |x| + 4 ulp, in four instructions: these kernels run out of them before
// they run out of memory's bandwidth. Where the reciprocal flushes to zero, below x = -87, so do
// its products.
__device__ inline float gate(float x) {
  float power, y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x * -1.44269504f));
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(1.0f + power));
  return y;
}
// the derivative of silu(x) = x * gate(x)
__device__ inline float silu_slope(float silu, float gate) {
  return gate + silu * (1.0f - gate);
}

}  // namespace tern::cuda
