// The queue and the register of ready/valid streams: every word once, in order, under random
// stalls.
#include <tern_fifo_small.h>
#include <tern_fifo_wide.h>
#include <tern_skid.h>

#include <deque>

#include "rtl/tests/units/bench.h"

namespace tern::rtl {
namespace {

constexpr int kWords = 100'000;

// Words go in and come out at random; `room`: how many the unit may hold.
template <class Model>
void check_stream(int stall_in, int stall_out, int width, std::size_t room) {
  Bench<Model> bench(std::uint64_t(stall_in * 100 + stall_out));
  bench->in_valid = bench->out_ready = 0;
  bench.reset();
  std::deque<std::uint64_t> inside;
  bool offered = false;
  std::uint64_t word = 0;
  std::size_t most = 0;
  for (int out = 0; out < kWords;) {
    if (!offered && !bench.random.chance(stall_in)) offered = true, word = bench.random.bits(width);
    bench->in_valid = offered;
    put(bench->in_data, 0, width, offered ? word : bench.random.bits(width));
    bench->out_ready = !bench.random.chance(stall_out);
    bench.settle();
    const bool in = bench->in_valid && bench->in_ready,
               leaves = bench->out_valid && bench->out_ready;
    if (leaves) {
      ASSERT_FALSE(inside.empty()) << "a word too many";
      ASSERT_EQ(get(bench->out_data, 0, width), inside.front());
      inside.pop_front(), ++out;
    }
    if constexpr (requires { bench->count; }) {
      ASSERT_EQ(bench->count, inside.size() + leaves);
    }
    if (in) inside.push_back(word), offered = false;
    most = std::max(most, inside.size());
    ASSERT_LE(inside.size(), room);
    ASSERT_LT(bench.cycle, kWords * 25) << "no words come out";
    bench.tick();
  }
  if (stall_in > 0) return;
  EXPECT_TRUE(stall_out != 90 || most == room) << "it is never full";
  EXPECT_TRUE(stall_out > 0 || bench.cycle <= kWords + 8) << "not a word a cycle";
}

TEST(Skid, EveryWordOnceInOrder) {
  for (const int in : kStalls)
    for (const int out : kStalls) check_stream<tern_skid>(in, out, 32, 2);
}

TEST(Fifo, EveryWordOnceInOrder) {
  for (const int in : kStalls)
    for (const int out : kStalls) check_stream<tern_fifo_small>(in, out, 24, 5);
  check_stream<tern_fifo_wide>(10, 50, 64, 129);
  check_stream<tern_fifo_wide>(0, 90, 64, 129);
}

}  // namespace
}  // namespace tern::rtl
