// Element types of tensors in files, all little-endian: one table of their sizes and of their names
// in every file format.
#pragma once

#include <cstddef>
#include <string_view>

#include "core/dtype.h"

namespace tern {

enum class StoredType { f64, f32, bf16, i32, i8, u64, u32, u16, u8, f16, i64, i16, boolean };
inline constexpr std::size_t kStoredTypes = 13;

struct StoredTypeInfo {
  std::string_view name;  // in manifests
  std::size_t bytes = 0;
  std::string_view npy{};          // "descr" of a .npy header; empty: NumPy has no such type
  std::string_view numpy{};        // numpy.dtype.name
  std::string_view safetensors{};  // "dtype" of a .safetensors header
  // Type in HDF5 (hid_t). Call it while the library is locked. Null: no dataset of tern has it, it
  // occurs only in .safetensors files of other programs.
  std::int64_t (*hdf5)() = nullptr;
};

const StoredTypeInfo& info_of(StoredType type);
inline std::size_t item_bytes(StoredType type) {
  return info_of(type).bytes;
}
inline std::string_view name_of(StoredType type) {
  return info_of(type).name;
}

// The type of that name in a manifest. Fault::input, beginning with where, for any other text.
StoredType stored_type(std::string_view name, std::string_view where);

// The type that holds a tensor's elements in a file. Fault::internal for e4m3, which is not stored.
StoredType stored_type(DType dtype);

}  // namespace tern
