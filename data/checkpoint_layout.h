// Which rows of which tensor go into which file of a checkpoint. A function of names, shapes and
// the limit alone, so that every save of a run has the same files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/stored_type.h"

namespace tern {

// A tensor to save, or consecutive rows of it: their bytes, row-major, little-endian, in host
// memory.
struct TensorBytes {
  std::string name;  // 1 to 512 bytes without '/'
  StoredType type = StoredType::f32;
  std::vector<std::uint64_t> shape;  // of the whole tensor
  std::span<const std::byte> bytes;
  std::uint64_t first_row = 0;  // of the bytes

  std::uint64_t row_bytes() const;
  std::uint64_t rows() const;  // in the bytes
};

// Consecutive rows of what was given of one tensor.
struct Rows {
  std::size_t tensor = 0;  // index in what was given
  std::uint64_t first = 0, count = 0;
};

using Part = std::vector<Rows>;

// Files of at most part_bytes each, structure included. A tensor that fits into one file is not
// split; a single row that does not fit gets a larger file of its own.
std::vector<Part> plan_parts(std::span<const TensorBytes> tensors, std::uint64_t part_bytes);

// "rank-000-part-00.h5"
std::string part_name(int rank, std::size_t part);

}  // namespace tern
