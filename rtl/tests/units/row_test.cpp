// ROW's instructions, element by element, against operations.h; the largest element's index.
#include <tern_argmax_p1.h>
#include <tern_argmax_p16.h>
#include <tern_argmax_p4.h>
#include <tern_row_p1.h>
#include <tern_row_p16.h>
#include <tern_row_p4.h>

#include <deque>

#include "rtl/model/operations.h"
#include "rtl/tests/units/bench.h"

namespace tern::rtl {
namespace {

// as in tern_pkg
enum class Op : std::uint8_t { multiply, accumulate, gate, silu, scan, statistics };

struct Instruction {
  Op op = Op::multiply;
  bool with_weight = false, from_state = false, bounded = false;
  bool statistics = false, squares = false;
  int narrow = 0, shift = 9;
  Scalar g{};
  int offset = 0;  // fraction and narrow
  Vector a{}, b{}, c{};
  std::vector<std::uint16_t> weight{}, norm{};
};

struct Expected {
  Vector y{};
  std::uint64_t largest = 0, largest_y = 0, squares = 0;
  bool saturated = false;
};

Factor factor_of_sums(const Instruction& x) {
  Factor g = factor_of(x.g);
  g.exponent += x.narrow;
  return g;
}

// One element, as FixedModel computes it.
std::int32_t element(const Instruction& x, std::size_t i, Saturation& saturate) {
  // what a multiplier reads; STAT and SCAN read a as it is, so does SILU of a state
  const bool is_operand = x.op != Op::scan && x.op != Op::statistics && !x.from_state;
  std::int64_t a = round_shift(x.a[i], x.narrow);
  if (is_operand) a = saturate(a, kOperandBits);
  const int fraction = x.offset - x.narrow;
  const auto scaled = [&] { return scale_sum(std::int32_t(a), factor_of_sums(x), fraction); };
  switch (x.op) {
    case Op::multiply: {
      const std::int64_t b =
          saturate(x.with_weight ? std::int16_t(x.weight[i]) : x.b[i], kOperandBits);
      return saturate(round_shift(a * b, std::min(x.shift, 62)), kResidualBits);
    }
    case Op::accumulate:
      return saturate(x.b[i] + scaled(), kResidualBits);
    case Op::gate: {
      const std::int32_t z = saturate(scaled(), kGateBits);
      return x.bounded ? closed_gate(z, x.weight[i]) : sigmoid(-z);
    }
    case Op::silu: {
      const std::int64_t z =
          x.from_state ? round_shift(x.a[i], kStateFraction - kGateFraction) : scaled();
      return saturate(silu(saturate(z, kGateBits)), kOperandBits);
    }
    case Op::scan:
      return scan(x.a[i], x.b[i], x.c[i], saturate);
    default:
      return saturate(x.a[i], kResidualBits);
  }
}

Expected expected(const Instruction& x) {
  Expected out;
  Saturation saturate;
  for (std::size_t i = 0; i < x.a.size(); ++i) {
    const std::int32_t y = element(x, i, saturate);
    out.y.push_back(y);
    const std::int64_t v = std::int64_t(y) * std::int16_t(x.norm[i]);
    out.largest = std::max(out.largest, std::uint64_t(std::abs(v)));
    out.largest_y = std::max(out.largest_y, std::uint64_t(std::abs(std::int64_t(y))));
    Saturation unused;
    const std::int64_t s = unused(round_shift(x.a[i], x.narrow), kOperandBits);
    out.squares += std::uint64_t(s * s);
  }
  out.saturated = saturate.count() > 0;
  return out;
}

// Instructions one after the other, without a pause but for random ones; results are compared in
// order.
template <class Model>
class RowBench : public Bench<Model> {
 public:
  RowBench(int p, std::uint64_t stream) : Bench<Model>(stream), p_(p) { restart(); }

  void restart() {
    this->model().in_valid = 0, this->model().clear_saturated = 0;
    this->reset(int(this->random.between(1, 4)));
    waiting_.clear(), statistics_.clear(), squares_.clear();
  }

  void run(const Instruction& x, int stall) {
    const Expected e = expected(x);
    if (x.op != Op::statistics)
      for (std::size_t i = 0; i < x.a.size(); ++i)
        waiting_.push_back({e.y[i], i + 1 == x.a.size(), x.op, x.a[i], x.b.empty() ? 0 : x.b[i]});
    if (x.statistics) statistics_.push_back(e);
    if (x.squares) squares_.push_back(e.squares);
    Model& t = this->model();
    for (std::size_t at = 0; at < x.a.size();) {
      if (this->random.chance(stall)) {
        put_slice(x, this->random.bits(8) % x.a.size(), false);
        step();
        continue;
      }
      put_slice(x, at, true);
      this->settle();
      const bool taken = t.in_ready;
      step();
      if (taken) at += std::size_t(p_);
      if (testing::Test::HasFailure()) return;
    }
    t.in_valid = 0;
  }

  // Every result is out.
  void drain() {
    this->model().in_valid = 0;
    for (int i = 0; i < 40; ++i) step();
    EXPECT_TRUE(waiting_.empty() && statistics_.empty() && squares_.empty())
        << "results are missing";
  }

  // One instruction alone, with its flag.
  void check(const Instruction& x, int stall = 0) {
    this->model().clear_saturated = 1;
    step();
    this->model().clear_saturated = 0;
    run(x, stall);
    drain();
    EXPECT_EQ(bool(this->model().saturated), expected(x).saturated) << "operation " << int(x.op);
  }

 private:
  struct Result {
    std::int32_t y = 0;
    bool last = false;
    Op op{};
    std::int32_t a = 0, b = 0;
  };

  void put_slice(const Instruction& x, std::size_t at, bool valid) {
    Model& t = this->model();
    t.in_valid = valid, t.op = std::uint8_t(x.op);
    t.in_first = at == 0, t.in_last = at + std::size_t(p_) >= x.a.size();
    t.with_weight = x.with_weight, t.from_state = x.from_state, t.bounded = x.bounded;
    t.statistics = x.statistics, t.squares = x.squares;
    t.narrow = std::uint8_t(x.narrow), t.shift = std::uint8_t(x.shift);
    t.g = std::uint64_t(x.g.mantissa) << 12 | std::uint64_t(x.g.exponent & 0xfff);
    t.offset = std::uint8_t(x.offset);
    std::uint32_t active = 0;
    for (int i = 0; i < p_; ++i) {
      const std::size_t n = at + std::size_t(i);
      const bool inside = n < x.a.size();
      active |= std::uint32_t(inside) << i;
      const auto word = [&](const Vector& from) {
        return inside && !from.empty() ? std::uint64_t(from[n]) : this->random.bits(32);
      };
      const auto short_word = [&](const std::vector<std::uint16_t>& from) {
        return inside && !from.empty() ? std::uint64_t(from[n]) : this->random.bits(16);
      };
      put(t.a, 32 * i, 32, word(x.a)), put(t.b, 32 * i, 32, word(x.b)),
          put(t.c, 32 * i, 32, word(x.c));
      put(t.weight, 16 * i, 16, short_word(x.weight)), put(t.norm, 16 * i, 16, short_word(x.norm));
    }
    t.active = active;
  }

  void step() {
    this->tick();
    Model& t = this->model();
    if (t.out_valid)
      for (int i = 0; i < p_ && t.out_active >> i & 1; ++i) {
        ASSERT_FALSE(waiting_.empty()) << "a result too many";
        const Result r = waiting_.front();
        waiting_.pop_front();
        ASSERT_EQ(std::int32_t(get(t.y, 32 * i, 32)), r.y)
            << "operation " << int(r.op) << " of " << r.a << " and " << r.b;
        ASSERT_TRUE(!r.last || t.out_last);
      }
    if (t.statistics_done) {
      ASSERT_FALSE(statistics_.empty());
      ASSERT_EQ(std::uint64_t(t.largest), statistics_.front().largest);
      ASSERT_EQ(std::uint64_t(t.largest_y), statistics_.front().largest_y);
      statistics_.pop_front();
    }
    if (t.squares_done) {
      ASSERT_FALSE(squares_.empty());
      ASSERT_EQ(std::uint64_t(t.sum_of_squares), squares_.front());
      squares_.pop_front();
    }
  }

  const int p_;
  std::deque<Result> waiting_{};
  std::deque<Expected> statistics_{};
  std::deque<std::uint64_t> squares_{};
};

bool is_scaled_or_product(Op op) {
  return op != Op::scan && op != Op::statistics;
}

Instruction random_instruction(Random& random, Op op, int count) {
  Instruction x{.op = op};
  const bool scaled = op == Op::accumulate || op == Op::gate || op == Op::silu;
  x.from_state = op == Op::silu && random.chance(50);
  x.with_weight = op == Op::multiply && random.chance(50);
  x.bounded = random.chance(70);
  x.statistics = (op == Op::multiply || op == Op::accumulate || op == Op::statistics);
  x.squares = op == Op::multiply;
  const bool wild = random.chance(10);  // registers with what does not fit the instruction
  const bool sums = (scaled && !x.from_state) || (op == Op::multiply && !x.with_weight);
  x.narrow = sums ? int(random.between(0, 4)) : 0;
  if (wild) x.narrow = x.from_state || !is_scaled_or_product(op) ? 0 : int(random.between(0, 15));
  x.shift = random.chance(50) ? 9 : int(random.between(0, 63));
  // mostly results that fit; now and then what saturates or vanishes
  x.g = {.mantissa = std::uint32_t(random.bits(23)) | 1 << 23,
         .exponent = int(random.chance(90) ? random.between(-52, -38) : random.between(-300, 300))};
  if (random.chance(3)) x.g = {};
  x.offset = x.narrow + (op == Op::accumulate ? int(random.between(wild ? 0 : 12, wild ? 63 : 20))
                                              : kGateFraction);
  const int a_bits = op == Op::scan || x.from_state || op == Op::statistics ? 32 : 18 + x.narrow;
  for (int i = 0; i < count; ++i) {
    std::int64_t a = random.signed_bits(int(random.between(2, a_bits)));
    if (sums) a = std::clamp<std::int64_t>(a, -(131071ll << x.narrow), 131071ll << x.narrow);
    if (wild) a = random.signed_bits(32);
    if (op == Op::statistics && !wild) a >>= 5;
    x.a.push_back(std::int32_t(a));
    std::int64_t b = random.signed_bits(18);
    if (op == Op::scan) b = random.chance(5) ? 1 << 17 : std::int64_t(random.bits(17));
    if (op == Op::accumulate) b = random.signed_bits(int(random.between(2, 27)));
    if (wild) b = random.signed_bits(int(random.between(2, 32)));
    x.b.push_back(std::int32_t(b));
    x.c.push_back(std::int32_t(random.signed_bits(int(random.between(2, wild ? 32 : 18)))));
    x.weight.push_back(std::uint16_t(random.bits(16)));
    x.norm.push_back(std::uint16_t(random.between(-32767, 32767)));
  }
  return x;
}

constexpr Op kOps[] = {Op::multiply, Op::accumulate, Op::gate, Op::silu, Op::scan, Op::statistics};

template <class Bench>
void check_operation(Bench& bench, Op op, int elements) {
  for (int done = 0; done < elements && !testing::Test::HasFailure();) {
    const int count = int(bench.random.between(1, 100));
    bench.check(random_instruction(bench.random, op, count), done % 3 ? 0 : 40);
    done += count;
  }
}

class Operation : public testing::TestWithParam<Op> {};
TEST_P(Operation, OfRandomElements) {
  RowBench<tern_row_p4> bench(4, 60 + std::uint64_t(GetParam()));
  check_operation(bench, GetParam(), 100'000);
}
std::string name_of(const testing::TestParamInfo<Op>& info) {
  constexpr const char* kNames[] = {"multiply", "accumulate", "gate", "silu", "scan", "statistics"};
  return kNames[int(info.param)];
}
INSTANTIATE_TEST_SUITE_P(Row, Operation, testing::ValuesIn(kOps), name_of);

// Operations of both latencies in turn, without waiting for results, and resets in between.
template <class Model>
void check_mixture(int p, std::uint64_t stream, int instructions) {
  RowBench<Model> bench(p, stream);
  for (int i = 0; i < instructions && !testing::Test::HasFailure(); ++i) {
    const Op op = kOps[bench.random.between(0, 5)];
    const int count = int(bench.random.between(1, 6 * p));
    bench.run(random_instruction(bench.random, op, count), kStalls[i % 4]);
    if (i % 50 == 49) bench.drain();
    if (i % 500 == 499) bench.restart();
  }
}
TEST(Row, OperationsInAnyOrder4) {
  check_mixture<tern_row_p4>(4, 66, 20'000);
}
TEST(Row, OperationsInAnyOrder16) {
  check_mixture<tern_row_p16>(16, 74, 10'000);
}
TEST(Row, OperationsInAnyOrder1) {
  check_mixture<tern_row_p1>(1, 67, 20'000);
}

// Cycles from a slice to its result, its statistics and its squares, as the module's header says.
TEST(Row, Latencies) {
  Bench<tern_row_p4> bench(75);
  bench->in_valid = 0;
  bench.reset();
  const auto latency = [&](Op op, bool statistics, bool squares, const auto& done) {
    bench->in_valid = bench->in_first = bench->in_last = 1, bench->active = 0xf;
    bench->op = std::uint8_t(op), bench->statistics = statistics, bench->squares = squares;
    int cycles = 0;
    do {
      bench.tick(), bench->in_valid = 0, ++cycles;
    } while (!done() && cycles < 60);
    for (int i = 0; i < 40; ++i) bench.tick();
    return cycles;
  };
  const auto result = [&] { return bench->out_valid; };
  for (const Op op : {Op::multiply, Op::accumulate, Op::scan})
    EXPECT_EQ(latency(op, false, false, result), 14);
  for (const Op op : {Op::gate, Op::silu}) EXPECT_EQ(latency(op, false, false, result), 31);
  EXPECT_EQ(latency(Op::statistics, true, false, [&] { return bench->statistics_done; }), 2 + 21);
  EXPECT_EQ(latency(Op::multiply, true, false, [&] { return bench->statistics_done; }), 2 + 21);
  EXPECT_EQ(latency(Op::multiply, false, true, [&] { return bench->squares_done; }), 2 + 11);
}

// With g = 2^-11 and fraction 11 z is S: every argument there is.
Vector every_sum() {
  Vector s;
  for (std::int32_t z = -32768; z < 32768; ++z) s.push_back(z);
  return s;
}

TEST(Row, EveryArgumentOfSigmoidAndSilu) {
  RowBench<tern_row_p4> bench(4, 68);
  Instruction x{
      .op = Op::silu, .g = scalar_of(std::ldexp(1.0, -11)), .offset = 11, .a = every_sum()};
  x.weight.assign(x.a.size(), 0xffff), x.norm.assign(x.a.size(), 1);
  bench.check(x);
  x.op = Op::gate;
  bench.check(x);
  x.bounded = true;
  bench.check(x);
  x.op = Op::silu, x.from_state = true;
  for (std::int32_t& a : x.a) a *= 1 << 13;
  bench.check(x);
  for (std::int32_t& a : x.a) a += (1 << 12);  // ties
  x.a.pop_back(), x.weight.pop_back(), x.norm.pop_back();
  bench.check(x);
}

// Every shift of g, and the values at the ends.
TEST(Row, EveryScale) {
  RowBench<tern_row_p4> bench(4, 69);
  for (const Op op : {Op::accumulate, Op::gate, Op::silu})
    for (const std::uint32_t mantissa : {1u << 23, (1u << 24) - 1, 0xc00080u})
      for (int exponent = -110; exponent < 40 && !testing::Test::HasFailure(); ++exponent) {
        Instruction x{
            .op = op, .g = {mantissa, exponent}, .offset = op == Op::accumulate ? 16 : 11};
        x.a = {0, 1, -1, 3, 131071, -131071, 65536, -65536, 77777};
        x.b = {0, (1 << 26) - 1, -(1 << 26), 5, -(1 << 26), (1 << 26) - 1, 0, 1, -1};
        x.weight.assign(x.a.size(), 0x8001), x.norm.assign(x.a.size(), 32767);
        bench.check(x);
      }
}

TEST(Row, CornersOfScan) {
  RowBench<tern_row_p4> bench(4, 70);
  const std::int32_t h[] = {0, 1, -1, 1023, 1024, 1025, -1024, 3072, INT32_MAX, INT32_MIN};
  Instruction x{.op = Op::scan};
  for (const std::int32_t a : h)
    for (const std::int32_t k : {0, 1, 26, 31, 32, 33, 65536, 131071, 131072})
      for (const std::int32_t c : {0, 1, -1, 131071, -131072})
        x.a.push_back(a), x.b.push_back(k), x.c.push_back(c);
  x.weight.assign(x.a.size(), 0), x.norm.assign(x.a.size(), 0);
  bench.check(x);
}

template <class Model>
void check_argmax(int p, std::uint64_t stream) {
  Bench<Model> bench(stream);
  bench->marks = 0;
  bench.reset();
  for (int row = 0, elements = 0; elements < 100'000; ++row) {
    const int count = int(bench.random.between(1, 200));
    const int bits = 1 + row % 32;  // few bits: many equal ones
    std::vector<std::int32_t> x;
    for (int i = 0; i < count; ++i) x.push_back(std::int32_t(bench.random.signed_bits(bits)));
    if (row % 7 == 0) x.assign(x.size(), INT32_MIN);
    elements += count;
    const auto first = std::uint32_t(bench.random.bits(30));
    const auto put_slice = [&](int at, bool valid) {
      std::uint32_t active = 0;
      for (int i = 0; i < p; ++i) {
        const bool inside = valid && at + i < count;
        active |= std::uint32_t(inside) << i;
        put(bench->x, 32 * i, 32,
            inside ? std::uint64_t(x[std::size_t(at + i)]) : bench.random.bits(32));
      }
      bench->active = active;
      bench->base = first + std::uint32_t(at);
      bench->marks = std::uint8_t(valid << 2 | (at == 0) << 1 | int(at + p >= count));
      bench.tick();
    };
    for (int at = 0; at < count; at += p) {
      while (bench.random.chance(20)) put_slice(at, false);
      put_slice(at, true);
    }
    int latency = 1;
    for (; !bench->done && latency < 30; ++latency) put_slice(0, false);
    ASSERT_EQ(latency, 1 + bit_length(std::uint64_t(p)));
    const auto top = std::max_element(x.begin(), x.end());
    ASSERT_EQ(std::int32_t(bench->largest), *top);
    ASSERT_EQ(bench->index, first + std::uint32_t(top - x.begin())) << "of " << count;
  }
}
TEST(Argmax, TheFirstOfEquals) {
  check_argmax<tern_argmax_p16>(16, 73);
  check_argmax<tern_argmax_p4>(4, 71);
  check_argmax<tern_argmax_p1>(1, 72);
}

}  // namespace
}  // namespace tern::rtl
