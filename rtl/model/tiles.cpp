#include "rtl/model/tiles.h"

#include "core/check.h"

namespace tern::rtl {
namespace {

std::int64_t blocks(std::int64_t n, int side) {
  return (n + side - 1) / side;
}

}  // namespace

ArrayShape array_shape(int port_bits) {
  switch (port_bits) {
    case 8:
      return {1, 4};
    case 64:
      return {4, 8};
    case 128:
      return {8, 8};
    case 256:
      return {8, 16};
    case 512:
      return {16, 16};
    default:
      fail(Fault::usage, "width of the memory port: expected 8, 64, 128, 256 or 512 bits, got ",
           port_bits);
  }
}

std::size_t tiles_bytes(std::int64_t rows, std::int64_t columns, const ArrayShape& shape) {
  return std::size_t(blocks(rows, shape.rows) * blocks(columns, shape.columns)) *
         std::size_t(shape.tile_bytes());
}

std::vector<std::byte> cut_tiles(std::span<const std::int8_t> t, std::int64_t rows,
                                 std::int64_t columns, const ArrayShape& shape) {
  std::vector<std::byte> out(tiles_bytes(rows, columns, shape));
  const int quarter = shape.columns / 4;
  std::size_t at = 0;
  for (std::int64_t r = 0; r < rows; r += shape.rows)
    for (std::int64_t c = 0; c < columns; c += shape.columns)
      for (int i = 0; i < shape.rows; ++i)
        for (int b = 0; b < quarter; ++b, ++at)
          for (int p = 0; p < 4; ++p) {
            const std::int64_t row = r + i, column = c + p * quarter + b;
            const bool inside = row < rows && column < columns;
            const int code = inside ? t[std::size_t(row * columns + column)] + 1 : 1;
            out[at] |= std::byte(code << 2 * p);
          }
  return out;
}

}  // namespace tern::rtl
