#include "core/ternary_tiles.h"

#include <algorithm>
#include <cstring>

namespace tern {
namespace {

constexpr Index kRowBytes = 4;  // of a row in a tile

// the code of each column of a row
void codes_of_row(std::uint8_t* codes, const std::uint8_t* row) {
  for (Index c = 0; c < kTileSide; ++c) codes[c] = row[c % kRowBytes] >> 2 * (c / kRowBytes) & 3;
}

bool has_three(const TernaryTile& tile) {
  std::uint64_t words[sizeof tile.bytes / 8], both = 0;
  std::memcpy(words, tile.bytes, sizeof words);
  for (const std::uint64_t word : words) both |= word & word >> 1 & 0x5555'5555'5555'5555;
  return both != 0;
}

}  // namespace

void pack_tiles(TernaryTile* tiles, const std::int8_t* t, Index O, Index I) {
  for (Index o = 0; o < O; o += kTileSide)
    for (Index i = 0; i < I; i += kTileSide, ++tiles) {
      const Index columns = std::min(kTileSide, I - i);
      for (Index r = 0; r < kTileSide; ++r) {
        std::uint8_t codes[kTileSide];
        std::fill_n(codes, kTileSide, std::uint8_t(1));
        for (Index c = 0; o + r < O && c < columns; ++c)
          codes[c] = std::uint8_t(t[(o + r) * I + i + c] + 1);
        std::uint8_t* row = tiles->bytes + kRowBytes * r;
        for (Index b = 0; b < kRowBytes; ++b)
          row[b] =
              std::uint8_t(codes[b] | codes[4 + b] << 2 | codes[8 + b] << 4 | codes[12 + b] << 6);
      }
    }
}

void unpack_tiles(std::int8_t* t, const TernaryTile* tiles, Index first, Index count, Index I) {
  for (Index o = first; o < first + count; ++o, t += I) {
    const TernaryTile* tile = tiles + o / kTileSide * tiles_along(I);
    for (Index i = 0; i < I; i += kTileSide, ++tile) {
      std::uint8_t codes[kTileSide];
      codes_of_row(codes, tile->bytes + kRowBytes * (o % kTileSide));
      for (Index c = 0; c < std::min(kTileSide, I - i); ++c) t[i + c] = std::int8_t(codes[c] - 1);
    }
  }
}

std::optional<WrongCode> find_wrong_code(const TernaryTile* tiles, Index O, Index I) {
  for (Index o = 0; o < O; o += kTileSide)
    for (Index i = 0; i < I; i += kTileSide, ++tiles) {
      const bool whole = o + kTileSide <= O && i + kTileSide <= I;
      if (whole && !has_three(*tiles)) continue;
      for (Index r = 0; r < kTileSide; ++r) {
        std::uint8_t codes[kTileSide];
        codes_of_row(codes, tiles->bytes + kRowBytes * r);
        for (Index c = 0; c < kTileSide; ++c)
          if (o + r < O && i + c < I ? codes[c] == 3 : codes[c] != 1)
            return WrongCode{o + r, i + c, codes[c]};
      }
    }
  return std::nullopt;
}

}  // namespace tern
