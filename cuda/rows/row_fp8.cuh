// A row in registers, as it is stored, in 8-bit floats (e4m3): what a product with fp8_dx
// multiplies (core/kernels/product.h). Codes equal the CPU's, whichever kernel computes them.
#pragma once

#include <cuda_fp8.h>
#include <math_constants.h>

#include "cuda/rows/row_layout.cuh"

namespace tern::cuda {

// The largest magnitude of numbers of type T in words, by their bits: those of magnitudes are
// ordered as the magnitudes are, NaN on top. Of bf16 two at a time, without unpacking them.
template <class T>
struct Largest {
  __device__ void take(unsigned x) {
    if constexpr (sizeof(T) == 2)
      bits = __vmaxu2(bits, x & 0x7fff7fffu);
    else
      bits = max(bits, x & 0x7fffffffu);
  }
  __device__ void take(uint2 x) { take(x.x), take(x.y); }
  __device__ void take(uint4 x) { take(x.x), take(x.y), take(x.z), take(x.w); }
  __device__ float value() const {
    return __uint_as_float(sizeof(T) == 2 ? max(bits << 16, bits & 0xffff0000u) : bits);
  }
  unsigned bits = 0;
};

struct Fp8Scale {
  explicit __device__ Fp8Scale(float largest)
      : value(448.0f / fmaxf(largest, 1e-30f)), finite(isfinite(largest)) {}
  __device__ float factor() const { return finite ? 1.0f / value : CUDART_NAN_F; }
  __device__ unsigned codes(float low, float high) const {
    return __nv_cvt_float2_to_fp8x2({low * value, high * value}, __NV_SATFINITE, __NV_E4M3);
  }
  __device__ void store(bool inside, std::uint8_t* to, const float (&x)[1]) const {
    if (inside) *to = std::uint8_t(codes(x[0], 0) & mask());
  }
  __device__ void store(bool inside, std::uint8_t* to, const float (&x)[4]) const {
    store_if(inside, to, (codes(x[0], x[1]) | codes(x[2], x[3]) << 16) & mask());
  }
  __device__ unsigned mask() const { return finite ? ~0u : 0u; }
  float value;
  bool finite;
};

// Rows that leave in 8-bit floats.
struct Fp8Writer {
  // Row n, given its largest magnitude: words of T as they are stored, in Parts of D columns side
  // by side.
  template <class L, class T, int Parts>
  __device__ void write(Index n, const Word<T, L::V> (&words)[Parts][L::Items], int D,
                        float top) const {
    const Fp8Scale scale(top);
    std::uint8_t* piece = codes + n * Parts * D + L::column(0);
#pragma unroll
    for (int k = 0; k < Parts * L::Items; ++k) {
      float x[L::V];
      unpack(x, words[k / L::Items][k % L::Items]);
      const int i = k % L::Items;
      scale.store(L::column(i) < D, piece + k / L::Items * D + i * L::step, x);
    }
    if (threadIdx.x == 0) factors[n] = scale.factor();
  }
  std::uint8_t* codes = nullptr;
  float* factors = nullptr;
};

// What lies beyond the columns must be zero, or not finite where the row is not.
template <class L, class T, int Parts>
__device__ inline float largest_of_words(const Word<T, L::V> (&words)[Parts][L::Items]) {
  Largest<T> largest;
#pragma unroll
  for (int k = 0; k < Parts * L::Items; ++k) largest.take(words[k / L::Items][k % L::Items]);
  return largest.value();
}

// A gradient's rows that leave as T and in 8-bit floats, or in these alone, in the place of
// RowGrad. In 8-bit floats a row leaves a turn later: its largest magnitude comes out of the next
// row's reduction, so that each row has one.
template <class T>
struct Fp8RowGrad {
  static constexpr int maxima = 1;
  template <class L, int Parts>
  struct Waiting {
    Word<T, L::V> words[Parts][L::Items] = {};
    Index n = -1;
  };

  template <class L, int Parts>
  __device__ void ask(const Waiting<L, Parts>& row, float* top) const {
    *top = largest_of_words<L, T>(row.words);
  }
  template <class L, int Parts>
  __device__ void leave(const Waiting<L, Parts>& row, int D, const float* top) const {
    if (row.n >= 0) fp8.write<L, T>(row.n, row.words, D, *top);
  }
  // `shared` holds 32 floats
  template <class L, int Parts>
  __device__ void leave_last(const Waiting<L, Parts>& row, int D, float* shared) const {
    float top[1];
    ask<L, Parts>(row, top);
    reduce_row<0>(top, shared);
    leave<L, Parts>(row, D, top);
  }
  template <class L, class... Parts>
  __device__ void put_row(Waiting<L, int(sizeof...(Parts))>& row, Index n, int D,
                          const Parts&... parts) const {
    int k = 0;
    (pack_row<L, T>(row.words[k++], parts), ...);
    row.n = n;
    if (!to) return;
#pragma unroll
    for (k = 0; k < int(sizeof...(Parts)); ++k)
      store_words<L>(to + (n * int(sizeof...(Parts)) + k) * D, row.words[k], D);
  }

  T* to = nullptr;  // null: in 8-bit floats alone
  Fp8Writer fp8{};
};

// f(how rows of this gradient leave)
template <class T, class F>
void visit_row_grad(const char* kernel, const Grad& grad, const Fp8Rows& fp8, F&& f) {
  check_fp8_rows(kernel, grad, fp8);
  if (!fp8) return f(RowGrad<T>(grad));
  f(Fp8RowGrad<T>{.to = data_or_null<T>(grad.to),
                  .fp8 = {.codes = reinterpret_cast<std::uint8_t*>(fp8.codes.data<E4m3>()),
                          .factors = fp8.factors.data<float>()}});
}

}  // namespace tern::cuda
