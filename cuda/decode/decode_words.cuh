// What the blocks of the decode kernel send one another. (sm_90a)
#pragma once

#include "cuda/decode/decode_arithmetic.cuh"

namespace tern::cuda::decode {

__device__ inline ExchangeWord load_word(const ExchangeWord* from) {
  ExchangeWord w;
  asm volatile(
      "{.reg .b128 r; .reg .b64 l, h;\n"
      "ld.relaxed.gpu.global.b128 r, [%4];\n"
      "mov.b128 {l, h}, r; mov.b64 {%0, %1}, l; mov.b64 {%2, %3}, h;}"
      : "=f"(w.a), "=f"(w.b), "=f"(w.aux), "=r"(w.step)
      : "l"(from)
      : "memory");
  return w;
}
__device__ inline void store_word(ExchangeWord* to, const ExchangeWord& w) {
  asm volatile(
      "{.reg .b128 r; .reg .b64 l, h;\n"
      "mov.b64 l, {%1, %2}; mov.b64 h, {%3, %4}; mov.b128 r, {l, h};\n"
      "st.relaxed.gpu.global.b128 [%0], r;}" ::"l"(to),
      "f"(w.a), "f"(w.b), "f"(w.aux), "r"(w.step)
      : "memory");
}

}  // namespace tern::cuda::decode
