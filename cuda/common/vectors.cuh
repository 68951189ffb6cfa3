// Vectors of a row: V elements as one word, loaded and stored under a condition and without a
// branch, so that all loads of a row are on their way before the first is used.
#pragma once

#include <cuda_bf16.h>

#include <type_traits>

#include "cuda/common/dispatch.h"

namespace tern::cuda {

// What a vector of 2, 4, 8 or 16 bytes is loaded as.
template <class T, int V, int Bytes = sizeof(T) * V>
using Word = std::conditional_t<
    Bytes == 2, unsigned short,
    std::conditional_t<Bytes == 4, unsigned, std::conditional_t<Bytes == 8, uint2, uint4>>>;

// zero unless inside; the address is read only then
__device__ inline void load_if(bool inside, unsigned short& x, const void* from) {
  asm volatile("{ .reg .pred p; setp.ne.u32 p, %2, 0; mov.u16 %0, 0; @p ld.global.u16 %0, [%1]; }"
               : "=&h"(x)
               : "l"(from), "r"(unsigned(inside)));
}
__device__ inline void load_if(bool inside, unsigned& x, const void* from) {
  asm volatile("{ .reg .pred p; setp.ne.u32 p, %2, 0; mov.u32 %0, 0; @p ld.global.u32 %0, [%1]; }"
               : "=&r"(x)
               : "l"(from), "r"(unsigned(inside)));
}
__device__ inline void load_if(bool inside, uint2& x, const void* from) {
  asm volatile(
      "{ .reg .pred p; setp.ne.u32 p, %3, 0; mov.u32 %0, 0; mov.u32 %1, 0;"
      " @p ld.global.v2.u32 {%0, %1}, [%2]; }"
      : "=&r"(x.x), "=&r"(x.y)
      : "l"(from), "r"(unsigned(inside)));
}
__device__ inline void load_if(bool inside, uint4& x, const void* from) {
  asm volatile(
      "{ .reg .pred p; setp.ne.u32 p, %5, 0;"
      " mov.u32 %0, 0; mov.u32 %1, 0; mov.u32 %2, 0; mov.u32 %3, 0;"
      " @p ld.global.v4.u32 {%0, %1, %2, %3}, [%4]; }"
      : "=&r"(x.x), "=&r"(x.y), "=&r"(x.z), "=&r"(x.w)
      : "l"(from), "r"(unsigned(inside)));
}

__device__ inline void store_if(bool inside, void* to, unsigned short x) {
  asm volatile("{ .reg .pred p; setp.ne.u32 p, %2, 0; @p st.global.u16 [%0], %1; }" ::"l"(to),
               "h"(x), "r"(unsigned(inside)));
}
__device__ inline void store_if(bool inside, void* to, unsigned x) {
  asm volatile("{ .reg .pred p; setp.ne.u32 p, %2, 0; @p st.global.u32 [%0], %1; }" ::"l"(to),
               "r"(x), "r"(unsigned(inside)));
}
__device__ inline void store_if(bool inside, void* to, uint2 x) {
  asm volatile(
      "{ .reg .pred p; setp.ne.u32 p, %3, 0; @p st.global.v2.u32 [%0], {%1, %2}; }" ::"l"(to),
      "r"(x.x), "r"(x.y), "r"(unsigned(inside)));
}
__device__ inline void store_if(bool inside, void* to, uint4 x) {
  asm volatile(
      "{ .reg .pred p; setp.ne.u32 p, %5, 0; @p st.global.v4.u32 [%0], {%1, %2, %3, %4}; }" ::"l"(
          to),
      "r"(x.x), "r"(x.y), "r"(x.z), "r"(x.w), "r"(unsigned(inside)));
}

// The numbers in a word, f32 or bf16 (the upper half of an f32), and the word of numbers.
__device__ inline float low_half(unsigned pair) {
  return __uint_as_float(pair << 16);
}
__device__ inline float high_half(unsigned pair) {
  return __uint_as_float(pair & 0xffff0000u);
}
__device__ inline unsigned pair_of(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const unsigned*>(&pair);
}

__device__ inline void unpack(float (&to)[1], unsigned short x) {
  to[0] = low_half(x);
}
__device__ inline void unpack(float (&to)[1], unsigned x) {
  to[0] = __uint_as_float(x);
}
__device__ inline void unpack(float (&to)[4], uint2 x) {
  to[0] = low_half(x.x), to[1] = high_half(x.x), to[2] = low_half(x.y), to[3] = high_half(x.y);
}
__device__ inline void unpack(float (&to)[4], uint4 x) {
  to[0] = __uint_as_float(x.x), to[1] = __uint_as_float(x.y);
  to[2] = __uint_as_float(x.z), to[3] = __uint_as_float(x.w);
}
__device__ inline void pack(unsigned short& x, const float (&from)[1]) {
  x = static_cast<unsigned short>(pair_of(from[0], 0));
}
__device__ inline void pack(unsigned& x, const float (&from)[1]) {
  x = __float_as_uint(from[0]);
}
__device__ inline void pack(uint2& x, const float (&from)[4]) {
  x = {pair_of(from[0], from[1]), pair_of(from[2], from[3])};
}
__device__ inline void pack(uint4& x, const float (&from)[4]) {
  x = {__float_as_uint(from[0]), __float_as_uint(from[1]), __float_as_uint(from[2]),
       __float_as_uint(from[3])};
}

// Asynchronous copies to shared memory.

// the Bytes of a vector (4, 8 or 16), unless it is outside
template <int Bytes>
__device__ inline void copy_async_if(bool inside, void* to_shared, const void* from) {
  const auto to = unsigned(__cvta_generic_to_shared(to_shared));
  asm volatile(
      "{ .reg .pred p; setp.ne.u32 p, %3, 0; @p cp.async.ca.shared.global [%0], [%1], %2; }" ::"r"(
          to),
      "l"(from), "n"(Bytes), "r"(unsigned(inside))
      : "memory");
}
// ends a group of copies
__device__ inline void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// this thread sees its copies, but for those of the last `pending` groups
template <int pending>
__device__ inline void await_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

}  // namespace tern::cuda
