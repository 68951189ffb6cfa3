#include "data/io/stored_type.h"

#include <hdf5.h>

#include <array>

#include "core/check.h"

namespace tern {
namespace {

// In the order of the enum. HDF5 has no bf16: its bits are u16, and an attribute of the dataset
// tells.
const std::array<StoredTypeInfo, kStoredTypes> kTable = {{
    {"f64", 8, "<f8", "float64", "F64", [] { return std::int64_t(H5T_IEEE_F64LE); }},
    {"f32", 4, "<f4", "float32", "F32", [] { return std::int64_t(H5T_IEEE_F32LE); }},
    {"bf16", 2, "", "", "BF16", [] { return std::int64_t(H5T_STD_U16LE); }},
    {"i32", 4, "<i4", "int32", "I32", [] { return std::int64_t(H5T_STD_I32LE); }},
    {"i8", 1, "|i1", "int8", "I8", [] { return std::int64_t(H5T_STD_I8LE); }},
    {"u64", 8, "<u8", "uint64", "U64", [] { return std::int64_t(H5T_STD_U64LE); }},
    {"u32", 4, "<u4", "uint32", "U32", [] { return std::int64_t(H5T_STD_U32LE); }},
    {"u16", 2, "<u2", "uint16", "U16", [] { return std::int64_t(H5T_STD_U16LE); }},
    {"u8", 1, "|u1", "uint8", "U8", [] { return std::int64_t(H5T_STD_U8LE); }},
    {"f16", 2, "<f2", "float16", "F16"},
    {"i64", 8, "<i8", "int64", "I64"},
    {"i16", 2, "<i2", "int16", "I16"},
    {"bool", 1, "|b1", "bool", "BOOL"},
}};

}  // namespace

const StoredTypeInfo& info_of(StoredType type) {
  return kTable.at(std::size_t(type));
}

StoredType stored_type(std::string_view name, std::string_view where) {
  for (std::size_t i = 0; i < kTable.size(); ++i)
    if (kTable[i].name == name && kTable[i].hdf5) return StoredType(i);
  fail(Fault::input, where, ": unknown element type \"", name,
       "\": expected f64, f32, bf16, i32, i8, u64, u32, u16 or u8");
}

StoredType stored_type(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return StoredType::f64;
    case DType::f32:
      return StoredType::f32;
    case DType::bf16:
      return StoredType::bf16;
    case DType::i32:
      return StoredType::i32;
    case DType::i8:
      return StoredType::i8;
    case DType::e4m3:
    case DType::t2:
      break;
  }
  fail(Fault::internal, "[stored_type] ", dtype, " is not stored in files");
}

}  // namespace tern
