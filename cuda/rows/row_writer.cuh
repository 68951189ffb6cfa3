// The last stage of every quantiser: a row in registers leaves as codes, as quotients, or as it is.
#pragma once

#include <math_constants.h>

#include "cuda/rows/row_layout.cuh"

namespace tern::cuda {

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
// times 1 / s, the bits that expand_rows (cuda/products/product_kernels.h) makes of those.
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

}  // namespace tern::cuda
