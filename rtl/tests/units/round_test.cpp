// Rounding and saturation against their definitions in rtl/model/fixed_point.h.
#include <tern_round.h>
#include <tern_saturate.h>
#include <tern_saturate_symmetric.h>

#include <deque>

#include "rtl/model/fixed_point.h"
#include "rtl/tests/units/bench.h"

namespace tern::rtl {
namespace {

constexpr int kBits = 55;

class Rounder {
 public:
  // what the unit gave for what went in three cycles before
  void next(std::int64_t value, int shift) {
    put(bench_->value, 0, kBits, std::uint64_t(value));
    bench_->shift = std::uint8_t(shift);
    bench_.tick();
    inside_.push_back({value, shift});
    if (inside_.size() < 3) return;
    const auto [first, by] = inside_.front();
    inside_.pop_front();
    ASSERT_EQ(get_signed(bench_->rounded, 0, kBits), round_shift(first, std::min(by, 62)))
        << first << " / 2^" << by;
  }
  Random& random() { return bench_.random; }

 private:
  Bench<tern_round> bench_{1};
  std::deque<std::pair<std::int64_t, int>> inside_{};
};

TEST(Round, HalvesGoToEven) {
  Rounder rounder;
  for (int shift = 0; shift < 64; ++shift)
    for (int whole = -5; whole <= 5; ++whole)
      for (int near = -1; near <= 1; ++near) {
        const int s = std::min(shift, 50);
        const std::int64_t half = s > 0 ? std::int64_t(1) << (s - 1) : 0;
        rounder.next((std::int64_t(whole) << s) + half + near, shift);
        if (testing::Test::HasFatalFailure()) return;
      }
  for (int i = 0; i < 100'000; ++i) {
    const int bits = int(rounder.random().between(1, kBits));
    rounder.next(rounder.random().signed_bits(bits), int(rounder.random().bits(6)));
    if (testing::Test::HasFatalFailure()) return;
  }
  for (const std::int64_t edge : {-(std::int64_t(1) << 54), (std::int64_t(1) << 54) - 1})
    for (int shift = 0; shift < 64; ++shift) rounder.next(edge, shift);
}

template <class Model>
void check_saturation(bool symmetric) {
  Bench<Model> bench(2);
  const auto check = [&](std::int64_t value) {
    put(bench->value, 0, kBits, std::uint64_t(value));
    bench.settle();
    Saturation saturate;
    std::int64_t expected = saturate(value, 18);
    bool clipped = saturate.count() > 0;
    if (symmetric && expected == -(1 << 17)) expected += 1, clipped = true;
    ASSERT_EQ(get_signed(bench->result, 0, 18), expected) << value;
    ASSERT_EQ(bool(bench->saturated), clipped) << value;
  };
  for (int near = -3; near <= 3; ++near) check((1 << 17) + near), check(-(1 << 17) + near);
  for (int i = 0; i < 100'000; ++i)
    check(bench.random.signed_bits(int(bench.random.between(1, kBits))));
}

TEST(Saturate, GivesTheNearestValueAndSaysSo) {
  check_saturation<tern_saturate>(false);
  check_saturation<tern_saturate_symmetric>(true);
}

}  // namespace
}  // namespace tern::rtl
