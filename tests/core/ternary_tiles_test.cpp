// Ternary matrices at two bits: what lies where, sizes that fill no tile, and codes that are wrong.
#include "core/ternary_tiles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "core/backend.h"
#include "core/cpu/cpu_backend.h"
#include "core/dry/dry_backend.h"
#include "core/rng.h"
#include "tests/support/complaint.h"

namespace tern {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr Index kSizes[][2] = {{1, 1},  {16, 16}, {15, 17}, {17, 15}, {1, 40},
                               {40, 1}, {32, 48}, {33, 50}, {70, 5}};

std::vector<std::int8_t> weights(Index O, Index I) {
  std::vector<std::int8_t> t(std::size_t(O * I));
  for (std::size_t k = 0; k < t.size(); ++k) t[k] = std::int8_t(int(Rng(3).bits(k) % 3) - 1);
  return t;
}

std::vector<TernaryTile> packed(const std::vector<std::int8_t>& t, Index O, Index I) {
  std::vector<TernaryTile> tiles(std::size_t(tiles_of(O, I)));
  pack_tiles(tiles.data(), t.data(), O, I);
  return tiles;
}

// A matrix of 2 x 18: two tiles, side by side. Row 1 of the first has the columns 0 to 15:
// -1 0 1 1, 1 -1 0 0, 0 0 0 0, -1 -1 1 0; codes 0 1 2 2, 2 0 1 1, 1 1 1 1, 0 0 2 1.
TEST(TernaryTiles, ByHand) {
  std::vector<std::int8_t> t(2 * 18, 0);
  const std::int8_t row[] = {-1, 0, 1, 1, 1, -1, 0, 0, 0, 0, 0, 0, -1, -1, 1, 0, 1, -1};
  std::copy(std::begin(row), std::end(row), t.begin() + 18);
  const std::vector<TernaryTile> tiles = packed(t, 2, 18);
  ASSERT_EQ(tiles.size(), 2u);
  const auto bytes = [&](int tile, int first, int count) {
    const std::uint8_t* b = tiles[std::size_t(tile)].bytes;
    return std::vector<int>(b + first, b + first + count);
  };
  EXPECT_THAT(bytes(0, 0, 4), Each(0b01010101));
  EXPECT_THAT(bytes(0, 4, 4),
              ElementsAre(0b00'01'10'00, 0b00'01'00'01, 0b10'01'01'10, 0b01'01'01'10));
  EXPECT_THAT(bytes(1, 4, 4), ElementsAre(0b01'01'01'10, 0b01'01'01'00, 0b01010101, 0b01010101));
  EXPECT_THAT(bytes(0, 8, 56), Each(0b01010101));
}

TEST(TernaryTiles, ComeBackAndArePaddedWithZeros) {
  for (const auto [O, I] : kSizes) {
    const std::vector<std::int8_t> t = weights(O, I);
    const std::vector<TernaryTile> tiles = packed(t, O, I);
    std::vector<std::int8_t> back(t.size(), 9);
    unpack_tiles(back.data(), tiles.data(), 0, O, I);
    EXPECT_EQ(back, t) << O << " x " << I;
    EXPECT_FALSE(find_wrong_code(tiles.data(), O, I)) << O << " x " << I;
    const Index rows = tiles_along(O) * 16, columns = tiles_along(I) * 16;
    std::vector<std::int8_t> all(std::size_t(rows * columns), 9);
    unpack_tiles(all.data(), tiles.data(), 0, rows, columns);
    for (Index o = 0; o < rows; ++o)
      for (Index i = 0; i < columns; ++i)
        ASSERT_EQ(all[std::size_t(o * columns + i)], o < O && i < I ? t[std::size_t(o * I + i)] : 0)
            << O << " x " << I << " at " << o << ", " << i;
  }
}

TEST(TernaryTiles, SomeRowsComeBackAlone) {
  const std::vector<std::int8_t> t = weights(50, 35);
  const std::vector<TernaryTile> tiles = packed(t, 50, 35);
  for (const Index first : {0, 7, 16, 31, 49}) {
    std::vector<std::int8_t> rows(std::size_t((50 - first) * 35), 9);
    unpack_tiles(rows.data(), tiles.data(), first, 50 - first, 35);
    EXPECT_TRUE(std::equal(rows.begin(), rows.end(), t.begin() + first * 35)) << first;
  }
}

// Of every code in turn: a 3 is wrong, and so is what is not 1 outside of the matrix.
TEST(TernaryTiles, WrongCodesAreFound) {
  for (const auto [O, I] : kSizes) {
    const std::vector<TernaryTile> sound = packed(weights(O, I), O, I);
    for (Index k = 0; k < Index(sound.size()) * 256; ++k) {
      const Index tile = k / 256, row = k / 16 % 16, column = k % 16;
      const Index o = tile / tiles_along(I) * 16 + row, i = tile % tiles_along(I) * 16 + column;
      for (const int code : {0, 1, 2, 3}) {
        std::vector<TernaryTile> tiles = sound;
        std::uint8_t& byte = tiles[std::size_t(tile)].bytes[4 * row + column % 4];
        const int shift = int(2 * (column / 4));
        byte = std::uint8_t((byte & ~(3 << shift)) | code << shift);
        const auto wrong = find_wrong_code(tiles.data(), O, I);
        const bool inside = o < O && i < I;
        ASSERT_EQ(bool(wrong), inside ? code == 3 : code != 1) << O << " x " << I << ' ' << code;
        if (!wrong) continue;
        EXPECT_THAT((std::vector{wrong->row, wrong->column, Index(wrong->code)}),
                    ElementsAre(o, i, code));
      }
    }
  }
}

TEST(TernaryTiles, ATensorHasWholeTiles) {
  CpuBackend cpu(1 << 20);
  EXPECT_EQ(Tensor(cpu, {17, 16}, DType::t2).bytes(), 128u);
  EXPECT_EQ(Tensor(cpu, {16, 33}, DType::t2).bytes(), 192u);
  const Tensor t(cpu, {2, 18}, DType::t2);
  EXPECT_EQ(t.bytes(), 128u);
  EXPECT_EQ(t.data<TernaryTile>(), t.raw());
  std::vector<TernaryTile> file(2);
  EXPECT_EQ(Tensor::borrow(cpu, {2, 18}, DType::t2, file.data()).bytes(), 128u);
  EXPECT_THAT(complaint([&] { Tensor(cpu, {32}, DType::t2); }), HasSubstr("t2: expected rank 2"));
  EXPECT_THAT(complaint([&] { t.reshape({36}); }), HasSubstr("t2: expected (2, 18), got (36)"));
  EXPECT_THAT(complaint([&] { t.slice(0, 1); }), HasSubstr("got (2, 18) t2"));
  EXPECT_THAT(complaint([&] { cpu.fill(t, 0); }), HasSubstr("got (2, 18) t2"));
  EXPECT_THAT(complaint([&] { t.data<std::int8_t>(); }), HasSubstr("asked for i8"));
}

TEST(TernaryTiles, TensorsArePacked) {
  CpuBackend cpu(1 << 20);
  const std::vector<std::int8_t> t = weights(19, 35);
  const Tensor bytes(cpu, {19, 35}, DType::i8), tiles(cpu, {19, 35}, DType::t2);
  cpu.upload(bytes, t.data());
  pack_tiles(tiles, bytes);
  std::vector<std::int8_t> back(t.size());
  unpack_tiles(back.data(), tiles.data<TernaryTile>(), 0, 19, 35);
  EXPECT_EQ(back, t);
  EXPECT_THAT(complaint([&] { pack_tiles(bytes, bytes); }),
              HasSubstr("expected i8 and t2 of one shape, got (19, 35) i8 and (19, 35) i8"));
}

TEST(TernaryTiles, CostTheirBytes) {
  CpuBackend cpu(1 << 20);
  TernaryProduct a{.y = Tensor(cpu, {3, 32}, DType::f32),
                   .x = {Tensor(cpu, {3, 48}, DType::i8), Tensor(cpu, {3}, DType::f32)},
                   .w = {Tensor(cpu, {32, 48}, DType::i8), Tensor(cpu, {1}, DType::f32)}};
  const Cost of_bytes = cost(a);
  a.w.t = Tensor(cpu, {32, 48}, DType::t2);
  EXPECT_EQ(of_bytes.bytes - cost(a).bytes, 32 * 48 * 3 / 4);
  EXPECT_EQ(of_bytes.flops, cost(a).flops);
}

// A GPU multiplies few rows by tiles as they are, and unpacks them for more.
TEST(TernaryTiles, AreUnpackedForManyRowsOnly) {
  DryBackend dry(DeviceTraits::h200());
  const auto bytes = [&](Index N, Index I, DType type) {
    return workspace_bytes(
        TernaryProduct{.y = {},
                       .x = {.q = Tensor(dry, {N, I}, DType::i8), .row_scale = {}},
                       .w = {.t = Tensor(dry, {32, I}, type), .scale = {}}},
        dry.traits());
  };
  EXPECT_EQ(bytes(1, 128, DType::t2), 0u);
  EXPECT_EQ(bytes(256, 128, DType::t2), 0u);
  EXPECT_EQ(bytes(257, 128, DType::t2), std::size_t(32 * 128));
  EXPECT_EQ(bytes(1, 80, DType::t2), std::size_t(32 * 80));
  EXPECT_EQ(bytes(257, 128, DType::i8), 0u);
}

}  // namespace
}  // namespace tern
