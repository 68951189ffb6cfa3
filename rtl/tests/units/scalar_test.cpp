// The scalar unit against rtl/model/fixed_point.h and the reciprocal of quantize().
#include <tern_scalar.h>

#include <deque>

#include "rtl/model/operations.h"
#include "rtl/tests/units/bench.h"

namespace tern::rtl {
namespace {

constexpr int kCases = 100'000, kExponentBits = 12;

// as in tern_pkg
enum class Op : std::uint8_t { multiply, add, divide, root, of_integer, reciprocal };
constexpr int kLatency[] = {27, 28, 29, 28, 13, 38};

struct Operands {
  Scalar a{}, b{};
  std::uint64_t integer = 0;
  int exponent = 0;
};

// As quantize() takes the upper bits of the largest |v|; a scalar whose upper bits are the
// reciprocal.
Scalar reciprocal_of(std::uint64_t largest) {
  const int narrow = std::max(0, bit_length(largest) - (kOperandBits - 1));
  const std::int64_t most = (1 << (kOperandBits - 1)) - 1;
  const std::int64_t top = std::min(most, round_shift(std::int64_t(largest), narrow));
  const Reciprocal r = code_reciprocal(std::max<std::int64_t>(1, top));
  return scalar_of(std::uint64_t(r.mantissa), -r.shift);
}

class ScalarBench : public Bench<tern_scalar> {
 public:
  explicit ScalarBench(std::uint64_t stream) : Bench(stream) {
    model().in_valid = 0, model().out_ready = 0;
    reset();
  }

  // Takes as long as the header of the module says, and holds the result while it is not taken.
  void run(Op op, const Operands& x, int stall) {
    tern_scalar& t = model();
    while (random.chance(stall)) tick();
    t.in_valid = 1, t.op_in = std::uint8_t(op);
    t.a_in = bits_of(x.a), t.b_in = bits_of(x.b);
    t.integer_in = x.integer, t.exponent_in = std::uint16_t(x.exponent & 0xfff);
    settle();
    ASSERT_TRUE(t.in_ready);
    tick();
    t.in_valid = 0, t.op_in = std::uint8_t(random.between(0, 5));
    t.a_in = random.bits(36), t.b_in = random.bits(36), t.integer_in = random.bits(52);
    int latency = 1;
    for (; !t.out_valid && latency < 100; ++latency) tick();
    ASSERT_EQ(latency, kLatency[int(op)]) << "of operation " << int(op);
    for (; random.chance(stall); tick()) ASSERT_FALSE(t.in_ready);
    ASSERT_TRUE(t.out_valid);
    result = {.mantissa = std::uint32_t(get(t.result, 12, 24)),
              .exponent = int(get_signed(t.result, 0, 12))};
    overflow = t.overflow;
    t.out_ready = 1;
    tick();
    t.out_ready = 0;
  }

  Scalar result{};
  bool overflow = false;

 private:
  static std::uint64_t bits_of(const Scalar& x) {
    return std::uint64_t(x.mantissa) << 12 | std::uint64_t(x.exponent & 0xfff);
  }
};

Scalar expected(Op op, const Operands& x) {
  switch (op) {
    case Op::multiply:
      return multiply(x.a, x.b);
    case Op::add:
      return add(x.a, x.b);
    case Op::divide:
      return x.b.mantissa == 0 ? Scalar{} : divide(x.a, x.b);
    case Op::root:
      return square_root(x.a);
    default:
      return scalar_of(x.integer, x.exponent);
  }
}

Scalar random_scalar(Random& random, int exponents) {
  if (random.chance(2)) return {};
  std::uint32_t mantissa = std::uint32_t(random.bits(23)) | 1 << 23;
  if (random.chance(5)) mantissa = 1 << 23;
  if (random.chance(5)) mantissa = (1 << 24) - 1;
  return {.mantissa = mantissa, .exponent = int(random.between(-exponents, exponents))};
}

void check(ScalarBench& bench, Op op, const Operands& x, int stall) {
  bench.run(op, x, stall);
  if (testing::Test::HasFatalFailure()) return;
  const Scalar exact = expected(op, x);
  ASSERT_EQ(bench.result.mantissa, exact.mantissa) << x.a.mantissa << ' ' << x.b.mantissa;
  ASSERT_EQ(bench.result.exponent, sign_extend(std::uint64_t(exact.exponent), kExponentBits))
      << x.a.exponent << ' ' << x.b.exponent;
  Saturation saturate;
  saturate(exact.exponent, kExponentBits);
  ASSERT_EQ(bench.overflow, saturate.count() > 0) << exact.exponent;
}

void check_operation(Op op) {
  ScalarBench bench(20 + std::uint64_t(op));
  for (int i = 0; i < kCases; ++i) {
    const int exponents = i % 20 == 0              ? 2000  // too large and too small ones
                          : op == Op::add && i % 2 ? 13    // sums of numbers that are near
                                                   : 500;
    const Operands x{.a = random_scalar(bench.random, exponents),
                     .b = random_scalar(bench.random, exponents),
                     .integer = bench.random.bits(int(bench.random.between(0, 52))),
                     .exponent = int(bench.random.between(-2048, 2047))};
    check(bench, op, x, i % 5 == 0 ? 50 : 0);
    if (testing::Test::HasFatalFailure()) return;
    if (i % 10'000 == 0) bench.reset(int(bench.random.between(1, 5)));
  }
}

TEST(Scalar, Products) {
  check_operation(Op::multiply);
}
TEST(Scalar, Sums) {
  check_operation(Op::add);
}
TEST(Scalar, Quotients) {
  check_operation(Op::divide);
}
TEST(Scalar, Roots) {
  check_operation(Op::root);
}
TEST(Scalar, OfIntegers) {
  check_operation(Op::of_integer);
}

TEST(Scalar, Corners) {
  ScalarBench bench(30);
  const std::uint32_t low = 1 << 23, high = (1 << 24) - 1;
  for (const Op op : {Op::multiply, Op::add, Op::divide, Op::root})
    for (const std::uint32_t a : {0u, low, low + 1, high - 1, high})
      for (const std::uint32_t b : {0u, low, low + 1, high - 1, high})
        for (int apart = -26; apart <= 26; ++apart) {
          check(bench, op, {.a = {a, a ? apart : 0}, .b = {b, b ? 7 : 0}}, 0);
          if (testing::Test::HasFatalFailure()) return;
        }
  for (int bits = 0; bits < 52; ++bits)
    for (const std::uint64_t near : {0, 1, 2}) {
      check(bench, Op::of_integer, {.integer = (std::uint64_t(1) << bits) - near + (bits == 0)}, 0);
      if (testing::Test::HasFatalFailure()) return;
    }
}

// A reset in the middle of an operation leaves nothing behind.
TEST(Scalar, AResetEndsAnOperation) {
  ScalarBench bench(31);
  for (int cycles = 0; cycles < 40; ++cycles) {
    bench->in_valid = 1, bench->op_in = std::uint8_t(cycles % 6);
    bench->a_in = bench->b_in = 0, bench->exponent_in = 0;
    bench.tick();
    bench->in_valid = 0;
    for (int i = 0; i < cycles; ++i) bench.tick();
    bench.reset(1);
    EXPECT_TRUE(bench->in_ready && !bench->out_valid);
    check(bench, Op::divide, {.a = {5 << 21, 3}, .b = {3 << 22, -2}}, 0);
  }
}

void check_reciprocal(ScalarBench& bench, std::uint64_t largest, int stall = 0) {
  bench.run(Op::reciprocal, {.integer = largest}, stall);
  const Scalar exact = reciprocal_of(largest);
  ASSERT_EQ(bench.result.mantissa, exact.mantissa) << largest;
  ASSERT_EQ(bench.result.exponent, exact.exponent) << largest;
}

// Powers of two and what is beside them, ties of the 17th bit, what rounds up to 2^17, zero.
TEST(Reciprocal, Corners) {
  ScalarBench bench(32);
  check_reciprocal(bench, 0);
  for (int bits = 0; bits < 42; ++bits)
    for (int near = -2; near <= 2; ++near) {
      const std::int64_t largest = (std::int64_t(1) << bits) + near;
      if (largest > 0) check_reciprocal(bench, std::uint64_t(largest));
      if (testing::Test::HasFatalFailure()) return;
    }
  for (int extra = 1; extra < 25; ++extra)
    for (const std::uint64_t top : {0x10000, 0x10001, 0x1fbff, 0x1fc00, 0x1fc01, 0x1fffe, 0x1ffff})
      for (int near = -1; near <= 1; ++near) {
        const std::uint64_t half = std::uint64_t(1) << (extra - 1);
        check_reciprocal(bench, (top << extra) + half + std::uint64_t(std::int64_t(near)));
        if (testing::Test::HasFatalFailure()) return;
      }
}

// every value with 17 bits, and random ones above
TEST(Reciprocal, OfEveryOperandAndOfLargeValues) {
  ScalarBench bench(33);
  for (std::uint64_t largest = 1; largest < 1 << 17; ++largest) {
    check_reciprocal(bench, largest);
    if (testing::Test::HasFatalFailure()) return;
  }
  for (int i = 0; i < kCases; ++i) {
    check_reciprocal(bench, bench.random.bits(int(bench.random.between(1, 42))), i % 9 ? 0 : 50);
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace tern::rtl
