// QNT in its two passes against quantize(): the largest |v| and |x| of a row, then its codes and
// sums.
#include <tern_quantizer_p1.h>
#include <tern_quantizer_p16.h>
#include <tern_quantizer_p4.h>
#include <tern_statistics_p1.h>
#include <tern_statistics_p16.h>
#include <tern_statistics_p4.h>

#include "rtl/model/operations.h"
#include "rtl/tests/units/bench.h"

namespace tern::rtl {
namespace {

struct Row {
  Vector x{};
  NormVector w{}, block{};
};

int log2_of(int p) {
  return bit_length(std::uint64_t(p)) - 1;
}

std::int16_t random_weight(Random& random) {
  return std::int16_t(random.between(-32767, 32767));
}

Row random_row(Random& random, int count, int bits) {
  Row row;
  for (int i = 0; i < count; ++i) {
    row.x.push_back(std::int32_t(random.chance(10) ? 0 : random.signed_bits(bits)));
    row.w.mantissas.push_back(random_weight(random));
    row.block.mantissas.push_back(random_weight(random));
  }
  return row;
}

// Both units, a row after the other without a pause but for random ones.
template <class Statistics, class Quantizer>
class QuantizerBench {
 public:
  QuantizerBench(int p, std::uint64_t stream) : p_(p), statistics_(stream), quantizer_(stream + 1) {
    statistics_->marks = quantizer_->marks = quantizer_->clear_saturated = 0;
    statistics_.reset(), quantizer_.reset();
  }
  Random& random() { return statistics_.random; }

  void check(const Row& row, int stall) {
    Saturation saturate;
    const QuantizedRow expected = quantize(row.x, row.w, saturate, &row.block);
    quantizer_->clear_saturated = 1, quantizer_.tick(), quantizer_->clear_saturated = 0;
    Row near = row;  // the statistics unit's port has 27 bits
    for (std::int32_t& x : near.x) x = Saturation{}(x, kResidualBits);
    const std::uint64_t largest_x = measure(near, stall);
    ASSERT_EQ(std::uint64_t(statistics_->largest), expected.largest);
    std::uint64_t exact_x = 0;
    for (const std::int32_t x : near.x) exact_x = std::max(exact_x, std::uint64_t(std::abs(x)));
    ASSERT_EQ(largest_x, exact_x);
    make_codes(row, expected, largest_x, stall);
    if (testing::Test::HasFatalFailure()) return;
    ASSERT_EQ(std::uint64_t(quantizer_->squares), expected.squares);
    ASSERT_EQ(std::uint64_t(quantizer_->squares_of_norm), expected.of_norm);
    ASSERT_EQ(bool(quantizer_->saturated), saturate.count() > 0);
  }
  void reset() { statistics_.reset(2), quantizer_.reset(2); }

 private:
  // The slice that begins at element `at`; what is behind the row's end is random and not active.
  template <class Model>
  void put_slice(Bench<Model>& bench, const Row& row, std::size_t at, bool valid) {
    std::uint32_t active = 0;
    constexpr int kBits = std::is_same_v<Model, Quantizer> ? 32 : kResidualBits;
    for (int i = 0; i < p_; ++i) {
      const std::size_t n = at + std::size_t(i);
      const bool inside = valid && n < row.x.size();
      active |= std::uint32_t(inside) << i;
      put(bench->x, kBits * i, kBits, inside ? std::uint64_t(row.x[n]) : bench.random.bits(kBits));
      put(bench->w, 16 * i, 16, inside ? std::uint64_t(row.w.mantissas[n]) : bench.random.bits(16));
      if constexpr (requires { bench->block; })
        put(bench->block, 16 * i, 16,
            inside ? std::uint64_t(row.block.mantissas[n]) : bench.random.bits(16));
    }
    bench->active = active;
    const bool last = at + std::size_t(p_) >= row.x.size();
    bench->marks = std::uint8_t(valid ? 4 | (at == 0) << 1 | int(last) : bench.random.bits(2));
    bench.tick();
  }

  std::uint64_t measure(const Row& row, int stall) {
    for (std::size_t at = 0; at < row.x.size(); at += std::size_t(p_)) {
      while (statistics_.random.chance(stall)) put_slice(statistics_, row, at, false);
      put_slice(statistics_, row, at, true);
    }
    int latency = 1;
    for (; !statistics_->done && latency < 50; ++latency) put_slice(statistics_, row, 0, false);
    EXPECT_EQ(latency, log2_of(p_) + 7);
    return statistics_->largest_x;
  }

  void make_codes(const Row& row, const QuantizedRow& expected, std::uint64_t largest_x,
                  int stall) {
    const int narrow = std::max(0, bit_length(expected.largest) - 17);
    const std::int64_t top =
        std::min<std::int64_t>((1 << 17) - 1, round_shift(std::int64_t(expected.largest), narrow));
    const Reciprocal r = code_reciprocal(std::max<std::int64_t>(1, top));
    const Scalar scalar = scalar_of(std::uint64_t(r.mantissa), -r.shift);
    quantizer_->reciprocal = std::uint64_t(scalar.mantissa) << 12 | (scalar.exponent & 0xfff);
    quantizer_->largest = expected.largest;
    quantizer_->largest_x = std::uint32_t(largest_x);
    put_slice(quantizer_, row, 0, false);
    std::size_t sent = 0, got = 0;
    std::int64_t first = 0, last = 0;
    for (int idle = 0; !quantizer_->done; ++idle) {
      ASSERT_LT(idle, 100) << "no sums";
      const bool valid = sent < row.x.size() && !quantizer_.random.chance(stall);
      if (valid && sent == 0) first = quantizer_.cycle;
      put_slice(quantizer_, row, valid ? sent : 0, valid);
      if (valid) sent += std::size_t(p_), idle = 0, last = quantizer_.cycle;
      if (!(quantizer_->code_marks & 4)) continue;
      ASSERT_TRUE(got > 0 || quantizer_.cycle == first + 17);
      for (std::size_t i = 0; i < std::size_t(p_); ++i)
        ASSERT_EQ(quantizer_->code_active >> i & 1, got + i < row.x.size());
      for (std::size_t i = 0; i < std::size_t(p_) && got + i < row.x.size(); ++i)
        ASSERT_EQ(get_signed(quantizer_->codes, int(8 * i), 8), expected.q[got + i])
            << "element " << got + i << " of " << row.x.size();
      got += std::size_t(p_);
      ASSERT_EQ(bool(quantizer_->code_marks & 1), got >= row.x.size());
    }
    ASSERT_GE(got, row.x.size());
    ASSERT_EQ(quantizer_.cycle - last + 1, log2_of(p_) + 18);
  }

  const int p_;
  Bench<Statistics> statistics_;
  Bench<Quantizer> quantizer_;
};

template <class Test>
void check_rows(Test& bench, int elements) {
  for (int done = 0, row = 0; done < elements; ++row) {
    const int count = int(bench.random().between(1, row % 10 == 0 ? 300 : 40));
    bench.check(random_row(bench.random(), count, 2 + row % 31), kStalls[row % 4] / 2);
    if (testing::Test::HasFatalFailure()) return;
    done += count;
    if (row % 100 == 0) bench.reset();
  }
}

TEST(Quantizer, RandomRows16) {
  QuantizerBench<tern_statistics_p16, tern_quantizer_p16> bench(16, 40);
  check_rows(bench, 100'000);
}
TEST(Quantizer, RandomRows4) {
  QuantizerBench<tern_statistics_p4, tern_quantizer_p4> bench(4, 42);
  check_rows(bench, 100'000);
}
TEST(Quantizer, RandomRows1) {
  QuantizerBench<tern_statistics_p1, tern_quantizer_p1> bench(1, 44);
  check_rows(bench, 30'000);
}

Row row_of(const Vector& x, std::int16_t w, std::int16_t block) {
  Row row{.x = x};
  row.w.mantissas.assign(x.size(), w), row.block.mantissas.assign(x.size(), block);
  return row;
}

// A row of zeros, one element, +-127, powers of two and their neighbours, ties, the largest values.
TEST(Quantizer, Corners) {
  QuantizerBench<tern_statistics_p4, tern_quantizer_p4> bench(4, 46);
  const std::int16_t weights[] = {1, -1, 3, 1 << 14, (1 << 14) + 1, 32767, -32767, 0};
  for (const std::int16_t w : weights)
    for (const std::int16_t block : {weights[3], weights[5], weights[6]}) {
      bench.check(row_of(Vector(9), w, block), 0);
      for (int bits = 1; bits <= 27; ++bits)
        for (int near = -1; near <= 1; ++near) {
          const auto top = std::int32_t(std::min((1ll << (bits - 1)) + near, (1ll << 26) - 1));
          bench.check(row_of({top}, w, block), 0);
          bench.check(row_of({top, -top, top / 2, 0, top / 254, 3 * (top / 254), 1, -1}, w, block),
                      0);
          if (testing::Test::HasFatalFailure()) return;
        }
      bench.check(row_of({-(1 << 26), (1 << 26) - 1, 1 << 25}, w, block), 0);
    }
  // every code, and halves between two of them
  Vector all;
  for (int i = -254; i <= 254; ++i) all.push_back(i);
  for (const std::int32_t scale : {1, 2, 129, 1 << 16}) {
    for (std::int32_t& x : all) x *= scale;
    bench.check(row_of(all, 1 << 14, 1 << 14), 0);
    for (std::int32_t& x : all) x /= scale;
  }
}

// |x| = 2^26 in 8191 elements: the sums do not overflow
TEST(Quantizer, LargestSums) {
  QuantizerBench<tern_statistics_p16, tern_quantizer_p16> bench(16, 48);
  bench.check(row_of(Vector(8191, -(1 << 26)), -32767, -32767), 0);
}

}  // namespace
}  // namespace tern::rtl
