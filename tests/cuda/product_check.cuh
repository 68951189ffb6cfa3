// What both halves of the check of the products share: sizes, operands, failures.
#pragma once

#include <cstdio>

#include "cuda/products/ternary_product.cuh"
#include "tests/cuda/device_buffer.cuh"

namespace tern::cuda {

struct Size {
  const char* name;
  int N, O, I;
};

inline int failures = 0;

inline void report(bool good, const char* what, const Size& s) {
  if (good) return;
  ++failures;
  std::printf("FAILED  %s: N %d, O %d, I %d\n", what, s.N, s.O, s.I);
}

struct Operands {
  explicit Operands(const Size& s)
      : q(std::size_t(s.N) * s.I), t(std::size_t(s.O) * s.I), row_scale(s.N), scale(1) {
    fill<<<blocks(std::size_t(s.N) * s.I), 256>>>(q.get(), std::size_t(s.N) * s.I, 127, 1u);
    fill<<<blocks(std::size_t(s.O) * s.I), 256>>>(t.get(), std::size_t(s.O) * s.I, 1, 2u);
    fill<<<blocks(s.N), 256>>>(row_scale.get(), s.N, 20.0f, 90.0f, 3u);
    fill<<<1, 256>>>(scale.get(), 1, 30.0f, 60.0f, 4u);
    launched("[fill]");
  }
  template <class A>
  IntegerProduct<A> into(const Buffer<A>& y, const Size& s) const {
    return {y.get(), q.get(), row_scale.get(), t.get(), scale.get(), s.N, s.O, s.I};
  }
  Buffer<std::int8_t> q, t;
  Buffer<float> row_scale, scale;
};

inline float as_float(float x) {
  return x;
}
inline float as_float(bf16 x) {
  return __bfloat162float(x);
}

// dx and dw through the library against the plain f32 kernel, small ones against the host too
void check_backward(const Operands& in, const Size& s, bool real);

}  // namespace tern::cuda
