// Element types of datasets in our files, by the names the manifests use. All are little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tern {

enum class StoredType { f64, f32, bf16, i32, i8, u64, u32, u16, u8 };

std::size_t item_bytes(StoredType type);
std::string_view name_of(StoredType type);  // "f64", "bf16", ...

// the inverse of name_of; Fault::input, beginning with where, for any other text
StoredType stored_type(std::string_view name, std::string_view where);

}  // namespace tern
