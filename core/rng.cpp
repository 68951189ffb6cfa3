// Built without contraction (CMakeLists.txt): sums and products in this order alone, so that a
// number has the same bits on every machine, one by one and many at once. The logarithm and the
// cosine are written out for that reason, and because loops over them vectorise.
#include "core/rng.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tern {
namespace {

// (k + 1/2) / 2^53, k the upper 53 bits: in (0, 1], as the largest rounds to 1. Made of 32-bit
// integers, which every vector unit converts.
inline double unit(std::uint32_t high, std::uint32_t low) {
  const double upper = std::int32_t(high >> 11);
  const double lower = std::int32_t((high << 21 | low >> 11) ^ 0x80000000u) + 0x1p31;
  return (upper * 0x1p32 + lower + 0.5) * 0x1p-53;
}

// p(z) by Horner's rule, highest power first.
template <std::size_t n>
inline double polynomial(double z, const double (&coefficients)[n]) {
  double p = coefficients[0];
  for (std::size_t i = 1; i < n; ++i) p = p * z + coefficients[i];
  return p;
}

// x = m 2^e with m in [sqrt(1/2), sqrt(2)): log x = e log 2 + 2 atanh(s), s = (m - 1) / (m + 1);
// the series' next term is below 2^-60 of the first.
inline double logarithm(double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const std::uint64_t above = bits - 0x3FE6A09E00000000u;  // the bits of sqrt(1/2)
  const double e = std::int32_t(above >> 32) >> 20;
  const auto m = std::bit_cast<double>(bits - (above & 0xFFF0000000000000u));
  const double s = (m - 1) / (m + 1), z = s * s;
  const double series = polynomial(z, {1.0 / 23, 1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13,
                                       1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3});
  return e * 0.69314718055994530942 + (2 * s + 2 * s * z * series);
}

// cos(2 pi x), x in (0, 1]: the cosine or the sine of what is left beside the nearest quarter, at
// most pi / 4; both series are cut below 2^-60.
inline double cosine_of_turns(double x) {
  const double nearest = std::floor(4 * x + 0.5);
  const double t = (x - 0.25 * nearest) * 6.28318530717958647693, z = t * t;
  const double cosine = polynomial(z, {1.0 / 20922789888000, -1.0 / 87178291200, 1.0 / 479001600,
                                       -1.0 / 3628800, 1.0 / 40320, -1.0 / 720, 1.0 / 24, -0.5, 1});
  const double sine = polynomial(z, {-1.0 / 1307674368000, 1.0 / 6227020800, -1.0 / 39916800,
                                     1.0 / 362880, -1.0 / 5040, 1.0 / 120, -1.0 / 6}) *
                          z * t +
                      t;
  const int quarters = int(nearest);
  const double size = quarters & 1 ? sine : cosine;
  return (quarters + 1) & 2 ? -size : size;
}

struct Uniform {
  double operator()(std::uint32_t a, std::uint32_t b, std::uint32_t, std::uint32_t) const {
    return unit(b, a);
  }
};
struct Normal {
  double operator()(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) const {
    return std::sqrt(-2 * logarithm(unit(b, a))) * cosine_of_turns(unit(d, c));
  }
};

// philox() of kLanes indices from `first` on, in steps over all of them, which vectorise.
constexpr std::size_t kLanes = 16;
using Words = std::uint32_t[4][kLanes];
void philox_lanes(Words& words, std::uint64_t first, std::uint64_t stream, std::uint64_t seed) {
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    const std::uint64_t index = first + lane;
    words[0][lane] = std::uint32_t(index), words[1][lane] = std::uint32_t(index >> 32);
    words[2][lane] = std::uint32_t(stream), words[3][lane] = std::uint32_t(stream >> 32);
  }
  std::uint32_t key[] = {std::uint32_t(seed), std::uint32_t(seed >> 32)};
  for (int round = 0; round < 10; ++round, key[0] += 0x9E3779B9u, key[1] += 0xBB67AE85u)
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const std::uint64_t a = std::uint64_t(0xD2511F53u) * words[0][lane];
      const std::uint64_t b = std::uint64_t(0xCD9E8D57u) * words[2][lane];
      words[0][lane] = std::uint32_t(b >> 32) ^ words[1][lane] ^ key[0];
      words[2][lane] = std::uint32_t(a >> 32) ^ words[3][lane] ^ key[1];
      words[1][lane] = std::uint32_t(b), words[3][lane] = std::uint32_t(a);
    }
}

template <class Kind>
void many(std::span<double> to, std::uint64_t first, std::uint64_t stream, std::uint64_t seed,
          Kind kind) {
  for (std::size_t at = 0; at < to.size(); at += kLanes) {
    Words words;
    philox_lanes(words, first + at, stream, seed);
    double numbers[kLanes];
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      numbers[lane] = kind(words[0][lane], words[1][lane], words[2][lane], words[3][lane]);
    std::copy_n(numbers, std::min(kLanes, to.size() - at), to.data() + at);
  }
}

}  // namespace

std::uint64_t Rng::bits(std::uint64_t index) const {
  const auto b = block(index);
  return std::uint64_t(b[1]) << 32 | b[0];
}

double Rng::uniform(std::uint64_t index) const {
  const auto b = block(index);
  return Uniform{}(b[0], b[1], b[2], b[3]);
}
double Rng::normal(std::uint64_t index) const {
  const auto b = block(index);
  return Normal{}(b[0], b[1], b[2], b[3]);
}
void Rng::uniforms(std::uint64_t first, std::span<double> to) const {
  many(to, first, stream_, seed_, Uniform{});
}
void Rng::normals(std::uint64_t first, std::span<double> to) const {
  many(to, first, stream_, seed_, Normal{});
}

}  // namespace tern
