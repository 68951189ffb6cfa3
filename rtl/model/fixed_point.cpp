#include "rtl/model/fixed_point.h"

#include <cmath>

#include "core/check.h"

namespace tern::rtl {
namespace {

constexpr int kMantissaBits = 24;

std::uint64_t integer_root(std::uint64_t v) {
  auto root = std::uint64_t(std::sqrt(double(v)));
  while (root * root > v) --root;
  while ((root + 1) * (root + 1) <= v) ++root;
  return root;
}

}  // namespace

Scalar scalar_of(std::uint64_t integer, int exponent) {
  if (integer == 0) return {};
  const int shift = bit_length(integer) - kMantissaBits;
  const std::uint64_t mantissa = shift > 0 ? integer >> shift : integer << -shift;
  return {.mantissa = std::uint32_t(mantissa), .exponent = exponent + shift};
}

Scalar scalar_of(double x) {
  check(std::isfinite(x) && x >= 0, "[scalar_of] expected a finite number >= 0, got ", x);
  if (x == 0) return {};
  int exponent = 0;
  const double fraction = std::frexp(x, &exponent);
  return {.mantissa = std::uint32_t(std::ldexp(fraction, kMantissaBits)),
          .exponent = exponent - kMantissaBits};
}

double real_of(const Scalar& x) {
  return std::ldexp(double(x.mantissa), x.exponent);
}

Scalar multiply(const Scalar& a, const Scalar& b) {
  return scalar_of(std::uint64_t(a.mantissa) * b.mantissa, a.exponent + b.exponent);
}

Scalar add(const Scalar& a, const Scalar& b) {
  if (a.mantissa == 0) return b;
  if (b.mantissa == 0) return a;
  const Scalar &high = a.exponent >= b.exponent ? a : b, &low = a.exponent >= b.exponent ? b : a;
  const int apart = high.exponent - low.exponent;
  if (apart >= kMantissaBits) return high;  // low is less than a unit of its last place
  return scalar_of((std::uint64_t(high.mantissa) << apart) + low.mantissa, low.exponent);
}

Scalar divide(const Scalar& a, const Scalar& b) {
  if (a.mantissa == 0 || b.mantissa == 0) return {};
  const int up = a.mantissa >= b.mantissa ? kMantissaBits - 1 : kMantissaBits;
  return {.mantissa = std::uint32_t((std::uint64_t(a.mantissa) << up) / b.mantissa),
          .exponent = a.exponent - b.exponent - up};
}

Scalar square_root(const Scalar& a) {
  if (a.mantissa == 0) return {};
  const int up = (a.exponent - kMantissaBits) % 2 == 0 ? kMantissaBits : kMantissaBits - 1;
  return {.mantissa = std::uint32_t(integer_root(std::uint64_t(a.mantissa) << up)),
          .exponent = (a.exponent - up) / 2};
}

Factor factor_of(const Scalar& x) {
  constexpr int kDropped = kMantissaBits - 17;
  return {.mantissa = x.mantissa >> kDropped, .exponent = x.exponent + kDropped};
}

}  // namespace tern::rtl
