// Descriptions of int8 tensors for Hopper's copy engine.
#pragma once

#include <cuda.h>

#include <array>
#include <cstdint>

namespace tern::cuda {

// A contiguous tensor of bytes, dimensions innermost first; a copy moves a box of it into shared
// memory, boxes' rows of 128 bytes permuted as the tensor cores read them (128-byte swizzle). What
// lies outside reads as zero. dims[0] is a multiple of 16, box[0] is 128.
// Error(Fault::internal): the driver has no such function or refuses the tensor
template <int rank>
CUtensorMap int8_tensor_map(const std::int8_t* data, const std::array<std::uint64_t, rank>& dims,
                            const std::array<std::uint32_t, rank>& box);

}  // namespace tern::cuda
