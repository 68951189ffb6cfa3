// Element types. bits() of an element are the only size, but for t2, whose elements lie in tiles
// (core/ternary_tiles.h). A type without a dtype_of does not compile.
#pragma once

#include <cstdint>
#include <ostream>

namespace tern {

enum class DType : std::uint8_t { f64, f32, bf16, i32, i8, e4m3, t2 };

// The upper half of a float, as the host holds it. No arithmetic: only devices compute in it.
struct BFloat16 {
  std::uint16_t bits = 0;
};
// An 8-bit float of 4 exponent and 3 mantissa bits (core/cpu/e4m3.h): codes, like those of i8.
struct E4m3 {
  std::uint8_t bits = 0;
};
// 16 x 16 ternary weights (core/ternary_tiles.h).
struct TernaryTile {
  std::uint8_t bytes[64];
};

constexpr int bits(DType t) {
  constexpr int table[] = {64, 32, 16, 32, 8, 8, 2};
  return table[int(t)];
}
constexpr const char* name_of(DType t) {
  constexpr const char* table[] = {"f64", "f32", "bf16", "i32", "i8", "e4m3", "t2"};
  return table[int(t)];
}
// "real" in the kernels' descriptions: what gradients and activations are made of
constexpr bool is_real(DType t) {
  return t == DType::f64 || t == DType::f32 || t == DType::bf16;
}
// What sums, scales and recurrent states are kept in, where values are of dtype t.
constexpr DType accumulator(DType t) {
  return t == DType::bf16 ? DType::f32 : t;
}
inline std::ostream& operator<<(std::ostream& out, DType t) {
  return out << name_of(t);
}

template <class T>
struct DTypeOf;  // undefined: asking for the dtype of a foreign type is a compile error
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::int8_t> {
  static constexpr DType value = DType::i8;
};
template <>
struct DTypeOf<E4m3> {
  static constexpr DType value = DType::e4m3;
};
template <>
struct DTypeOf<TernaryTile> {
  static constexpr DType value = DType::t2;
};
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

}  // namespace tern
