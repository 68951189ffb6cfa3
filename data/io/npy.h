// NumPy's .npy files, version 1.0: what numpy.load reads. Little-endian, row-major.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "core/dtype.h"
#include "core/shape.h"

namespace tern {

std::string_view numpy_name(DType dtype);  // "float64", "int8", ...

// A new file with one array; bytes are its elements. Fault::disk when the path exists.
void write_npy(const std::filesystem::path& path, DType dtype, const Shape& shape,
               std::span<const std::byte> bytes);

}  // namespace tern
