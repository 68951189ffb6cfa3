#include "data/io/stored_type.h"

#include <array>

#include "core/check.h"

namespace tern {
namespace {

struct Row {
  std::string_view name;
  std::size_t bytes;
};

// in the order of the enum
constexpr std::array<Row, 9> kTypes = {
    Row{"f64", 8}, {"f32", 4}, {"bf16", 2}, {"i32", 4}, {"i8", 1},
    {"u64", 8},    {"u32", 4}, {"u16", 2},  {"u8", 1},
};

}  // namespace

std::size_t item_bytes(StoredType type) {
  return kTypes.at(std::size_t(type)).bytes;
}

std::string_view name_of(StoredType type) {
  return kTypes.at(std::size_t(type)).name;
}

StoredType stored_type(std::string_view name, std::string_view where) {
  for (std::size_t i = 0; i < kTypes.size(); ++i)
    if (kTypes[i].name == name) return StoredType(i);
  fail(Fault::input, where, ": unknown element type \"", name,
       "\": expected f64, f32, bf16, i32, i8, u64, u32, u16 or u8");
}

}  // namespace tern
