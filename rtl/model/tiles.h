// How matrices lie in the accelerator's memory: cut into tiles, one for each beat of the port.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tern::rtl {

// Rows and columns of the array that multiplies: 2 bits of a weight for each of its lanes in a beat
// of the memory port.
struct ArrayShape {
  int rows = 16, columns = 16;
  int tile_bytes() const { return rows * columns / 4; }
  bool operator==(const ArrayShape&) const = default;
};
// Fault::usage unless a port of so many bits has one: 8, 64, 128, 256 or 512
ArrayShape array_shape(int port_bits);

// A tile of `shape` holds rows of columns / 4 bytes; bits 2 p and 2 p + 1 of byte b are the code
// w + 1 of column p columns / 4 + b. Tiles lie with the columns fastest; what exceeds the matrix
// has code 1. With 16 x 16 this is DType::t2.
std::vector<std::byte> cut_tiles(std::span<const std::int8_t> t, std::int64_t rows,
                                 std::int64_t columns, const ArrayShape& shape);
std::size_t tiles_bytes(std::int64_t rows, std::int64_t columns, const ArrayShape& shape);

}  // namespace tern::rtl
