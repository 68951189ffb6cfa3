#include "core/pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "core/rng.h"
#include "tests/support/complaint.h"

namespace tern {
namespace {

using testing::HasSubstr;

constexpr std::size_t kHuge = std::size_t(1) << 50;

std::size_t offset(void* p) {
  return reinterpret_cast<std::size_t>(p);  // of a pool without memory
}

TEST(Pool, PiecesAreWholeLinesOf256BytesSideBySide) {
  Pool pool(nullptr, kHuge);
  EXPECT_EQ(offset(pool.allocate(1)), 0u);
  EXPECT_EQ(offset(pool.allocate(256)), 256u);
  EXPECT_EQ(offset(pool.allocate(257)), 512u);
  EXPECT_EQ(offset(pool.allocate(0)), 1024u);  // an address of its own
  EXPECT_EQ(pool.used(), 1280u);
  EXPECT_EQ(pool.high_water(), 1280u);
}

TEST(Pool, TheSmallestHoleThatFitsIsUsed) {
  Pool pool(nullptr, kHuge);
  void *a = pool.allocate(1024), *b = pool.allocate(256), *c = pool.allocate(512);
  pool.allocate(256);
  pool.release(a, 1024), pool.release(c, 512);
  EXPECT_EQ(pool.allocate(512), c);
  EXPECT_EQ(pool.allocate(256), a);  // the rest of the large hole stays one
  EXPECT_EQ(offset(pool.allocate(768)), 256u);
  pool.release(b, 256);
  EXPECT_EQ(pool.allocate(200), b);
}

TEST(Pool, NeighboursMergeInAnyOrder) {
  for (const std::vector<int>& order : {std::vector{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}}) {
    Pool pool(nullptr, kHuge);
    std::vector<void*> pieces;
    for (int i = 0; i < 3; ++i) pieces.push_back(pool.allocate(256));
    pool.allocate(256);
    for (const int i : order) pool.release(pieces[i], 256);
    EXPECT_EQ(offset(pool.allocate(768)), 0u);
  }
}

TEST(Pool, OutOfMemorySaysWantedFreeAndSlab) {
  Pool pool(nullptr, 2048);
  void* a = pool.allocate(1024);
  pool.allocate(256);
  pool.release(a, 1024);
  try {
    pool.allocate(1025);
    FAIL() << "expected an error";
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::memory);
    EXPECT_STREQ(
        e.what(),
        "[Pool] out of memory: requested 1280 B, free 1792 B (768 B at the end), slab 2048 B");
  }
  EXPECT_EQ(pool.used(), 256u);
  EXPECT_EQ(offset(pool.allocate(1024)), 0u);  // a refusal changes nothing
}

TEST(Pool, AbsurdSizesAreRefused) {
  Pool pool(nullptr, 4096);
  for (const std::size_t bytes : {~std::size_t(0), ~std::size_t(0) - 254, std::size_t(1) << 63})
    EXPECT_THAT(complaint([&] { pool.allocate(bytes); }), HasSubstr("out of memory")) << bytes;
}

// Ten thousand random steps: pieces never overlap, the counts are right, and a pool of exactly the
// high-water mark gives the same addresses, one of a line less fails.
TEST(Pool, RandomUseNeverOverlapsAndDoesNotDependOnTheCapacity) {
  struct Step {
    std::size_t bytes;    // > 0: allocate
    std::size_t release;  // else: which of the live pieces
  };
  std::vector<Step> steps;
  std::vector<std::size_t> addresses;
  Pool large(nullptr, kHuge);
  std::map<std::size_t, std::size_t> live;  // address -> bytes asked for
  std::size_t used = 0;
  const Rng rng(3);
  for (std::uint64_t i = 0; i < 10000; ++i) {
    const bool grow = live.empty() || rng.bits(3 * i) % 100 < (i / 1000 % 2 ? 40 : 60);
    if (grow) {
      const std::size_t bytes = 1 + rng.bits(3 * i + 1) % (rng.bits(3 * i + 2) % 2 ? 300 : 9000);
      const std::size_t at = offset(large.allocate(bytes));
      const auto next = live.lower_bound(at);
      ASSERT_TRUE(next == live.end() || at + bytes <= next->first);
      ASSERT_TRUE(next == live.begin() || std::prev(next)->first + std::prev(next)->second <= at);
      ASSERT_EQ(at % 256, 0u);
      live[at] = bytes, used += (bytes + 255) / 256 * 256;
      steps.push_back({bytes, 0}), addresses.push_back(at);
    } else {
      const std::size_t which = rng.bits(3 * i + 1) % live.size();
      const auto [at, bytes] = *std::next(live.begin(), std::ptrdiff_t(which));
      large.release(reinterpret_cast<void*>(at), bytes);
      live.erase(at), used -= (bytes + 255) / 256 * 256;
      steps.push_back({0, which});
    }
    ASSERT_EQ(large.used(), used);
  }
  const std::size_t peak = large.high_water();
  EXPECT_LT(double(peak), 2.5e6);  // fragmentation: at most some 1.5 MB live at once
  const auto replay = [&](std::size_t capacity) {
    Pool pool(nullptr, capacity);
    std::map<std::size_t, std::size_t> pieces;
    std::vector<std::size_t> got;
    for (const Step& s : steps) {
      if (s.bytes) {
        got.push_back(offset(pool.allocate(s.bytes)));
        pieces[got.back()] = s.bytes;
      } else {
        const auto it = std::next(pieces.begin(), std::ptrdiff_t(s.release));
        pool.release(reinterpret_cast<void*>(it->first), it->second);
        pieces.erase(it);
      }
    }
    return got;
  };
  EXPECT_EQ(replay(peak), addresses);
  EXPECT_THROW(replay(peak - 256), Error);
}

TEST(Pool, EverythingReturnedIsOneHoleAgain) {
  Pool pool(nullptr, kHuge);
  std::vector<std::pair<void*, std::size_t>> pieces;
  for (std::size_t i = 1; i < 200; ++i) pieces.emplace_back(pool.allocate(i * 37), i * 37);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto& [p, bytes] = pieces[i * 83 % pieces.size()];  // 83 and 199 have no common factor
    pool.release(p, bytes);
  }
  EXPECT_EQ(pool.used(), 0u);
  EXPECT_EQ(offset(pool.allocate(pool.high_water())), 0u);
}

TEST(Pool, GrowsWhereItIsLetTo) {
  std::vector<std::vector<std::byte>> slabs;
  alignas(256) static std::byte first[1024];
  Pool pool(first, sizeof first);
  pool.let_grow([&](std::size_t bytes) { return slabs.emplace_back(bytes).data(); });
  void* a = pool.allocate(1024);
  void* b = pool.allocate(1 << 20);  // in a second slab
  void* c = pool.allocate(std::size_t(100) << 20);
  ASSERT_EQ(slabs.size(), 2u);  // a third one for what the second has no room for
  EXPECT_EQ(a, first);
  EXPECT_EQ(b, slabs[0].data());
  EXPECT_EQ(c, slabs[1].data());
  EXPECT_EQ(pool.used(), 1024 + (std::size_t(101) << 20));
  pool.release(b, 1 << 20);
  EXPECT_EQ(pool.allocate(300), b);
  pool.release(a, 1024);
  EXPECT_EQ(pool.allocate(256), a);
}

}  // namespace
}  // namespace tern
