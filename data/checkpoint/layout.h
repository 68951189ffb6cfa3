// The layout of a checkpoint: which rows of which tensor go into which file. A function of names,
// shapes and the limit alone, so every save of a run has the same files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/io/stored_type.h"

namespace tern {

// A tensor to save, or consecutive rows of it: their bytes, row-major, little-endian.
struct TensorBytes {
  std::string name;  // 1 to 512 bytes without '/'
  StoredType type = StoredType::f32;
  std::vector<std::uint64_t> shape;  // of the whole tensor
  std::span<const std::byte> bytes;  // in host memory, or none
  std::uint64_t first_row = 0;       // of the bytes
  bool constant = false;             // the bytes do not change during a save
  // For a tensor in device memory: its size, and a function that copies bytes from `offset` on.
  std::uint64_t device_bytes = 0;
  std::function<void(std::uint64_t offset, std::span<std::byte> to)> download{};

  std::uint64_t size() const { return download ? device_bytes : bytes.size(); }
  std::uint64_t row_bytes() const;
  std::uint64_t rows() const;  // in the bytes
};

// Consecutive rows of one of the given tensors.
struct Rows {
  std::size_t tensor = 0;  // index among the given tensors
  std::uint64_t first = 0, count = 0;
};

using Part = std::vector<Rows>;

// Files of at most part_bytes each, structure included. A tensor that fits into one file is not
// split; a single row that does not fit gets a larger file of its own.
std::vector<Part> plan_parts(std::span<const TensorBytes> tensors, std::uint64_t part_bytes);

// "rank-000-part-00.h5"
std::string part_name(int rank, std::size_t part);

}  // namespace tern
