// The load and store unit's parts: bursts, and beats of memory as slices of vectors.
#include <tern_burst_splitter_256.h>
#include <tern_burst_splitter_64.h>
#include <tern_resize_128_128.h>
#include <tern_resize_128_512.h>
#include <tern_resize_256_128.h>
#include <tern_resize_512_128.h>
#include <tern_resize_64_128.h>
#include <tern_resize_8_32.h>

#include <deque>

#include "rtl/tests/units/bench.h"

namespace tern::rtl {
namespace {

// beat_bytes: of the memory port
template <class Model>
void check_bursts(int burst, int beat_bytes, std::uint64_t stream) {
  Bench<Model> bench(stream);
  bench->in_valid = bench->out_ready = 0;
  bench.reset();
  for (int bursts = 0, request = 0; bursts < 100'000; ++request) {
    const int stall = kStalls[request % 4];
    const bool corner = bench.random.chance(20);  // about as long as a burst, beside its ends
    const auto address =
        std::uint32_t(corner ? burst * bench.random.between(1, 9) + bench.random.between(-2, 2)
                             : bench.random.bits(24));
    const auto beats =
        std::uint32_t(corner ? burst + bench.random.between(-2, 2)
                             : bench.random.between(1, bench.random.chance(5) ? 5000 : 300));
    bench->in_valid = 1, bench->in_address = address, bench->in_beats = beats;
    bench->out_ready = 0;
    bench.settle();
    ASSERT_TRUE(bench->in_ready);
    bench.tick();
    bench->in_valid = 0, bench->in_address = std::uint32_t(bench.random.bits(24));
    std::uint32_t next = address;
    for (int idle = 0; next != address + beats;) {
      bench->out_ready = !bench.random.chance(stall);
      bench.settle();
      const bool passes = bench->out_valid && bench->out_ready;
      if (passes) {
        const std::uint64_t first = std::uint64_t(bench->out_address) * std::uint64_t(beat_bytes);
        const std::uint64_t length = std::uint64_t(bench->out_beats) * std::uint64_t(beat_bytes);
        ASSERT_EQ(bench->out_address, next) << "a gap or a beat twice";
        ASSERT_GT(length, 0u);
        ASSERT_LE(bench->out_beats, 256);
        ASSERT_EQ(first / 4096, (first + length - 1) / 4096) << "it crosses 4 KB";
        next += bench->out_beats, ++bursts, idle = 0;
        ASSERT_LE(next, address + beats);
        ASSERT_EQ(bool(bench->out_last), next == address + beats);
      }
      bench.tick();
      ASSERT_LT(++idle, 500) << "no burst comes";
    }
    bench.settle();
    ASSERT_TRUE(bench->in_ready);
    if (request % 1000 == 0) bench.reset();
  }
}

TEST(Bursts, EachBeatOnceAndNever4KCrossed) {
  check_bursts<tern_burst_splitter_64>(64, 64, 80);
  check_bursts<tern_burst_splitter_256>(256, 1, 81);
}

// Vectors of random lengths, in units of the smaller word.
template <class Model>
void check_resize(int in_bits, int out_bits, std::uint64_t stream) {
  Bench<Model> bench(stream);
  bench->in_valid = bench->out_ready = 0;
  bench.reset();
  const int unit = std::min(in_bits, out_bits), in_units = in_bits / unit,
            out_units = out_bits / unit;
  struct Unit {
    std::uint64_t low = 0;  // its first bits are enough to tell it
    bool last = false;
  };
  std::deque<Unit> inside;
  const int compared = std::min(unit, 32);
  int left = 0, offered = 0;  // units of this vector, and in the word that is offered
  for (int out = 0; out < 100'000;) {
    if (left == 0) left = int(bench.random.between(1, 40));
    const int stall = kStalls[out / 1000 % 4];
    if (offered == 0 && !bench.random.chance(stall)) {
      offered = std::min(left, in_units);
      for (int i = 0; i < in_bits; i += 32)
        put(bench->in_data, i, std::min(32, in_bits), bench.random.bits(32));
    }
    bench->in_valid = offered > 0;
    bench->in_last = offered == left;
    bench->in_parts = std::uint8_t(in_units > 1 && offered > 0 ? offered - 1 : 0);
    bench->out_ready = !bench.random.chance(kStalls[out / 4000 % 4]);
    bench.settle();
    const bool in = bench->in_valid && bench->in_ready;
    if (bench->out_valid && bench->out_ready)
      for (int i = 0; i < out_units; ++i) {
        ASSERT_FALSE(inside.empty()) << "a word too many";
        const Unit u = inside.front();
        ASSERT_EQ(get(bench->out_data, i * unit, compared), u.low);
        inside.pop_front(), ++out;
        ASSERT_TRUE((!u.last && i + 1 < out_units) || bool(bench->out_last) == u.last);
        if (u.last) break;
      }
    if (in) {
      for (int i = 0; i < offered; ++i)
        inside.push_back({get(bench->in_data, i * unit, compared), i + 1 == left});
      left -= offered, offered = 0;
    }
    bench.tick();
    ASSERT_LT(bench.cycle, 5'000'000) << "no words come out";
  }
}

TEST(Resize, EveryWordOnceInOrder) {
  check_resize<tern_resize_8_32>(8, 32, 82);
  check_resize<tern_resize_64_128>(64, 128, 83);
  check_resize<tern_resize_128_128>(128, 128, 84);
  check_resize<tern_resize_256_128>(256, 128, 85);
  check_resize<tern_resize_512_128>(512, 128, 86);
  check_resize<tern_resize_128_512>(128, 512, 87);
}

}  // namespace
}  // namespace tern::rtl
