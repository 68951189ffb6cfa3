#include "data/io/npy.h"

#include <string>

#include "data/io/files.h"

namespace tern {
namespace {

std::string_view descr(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return "<f8";
    case DType::f32:
      return "<f4";
    case DType::i32:
      return "<i4";
    case DType::i8:
      return "|i1";
    case DType::bf16:
    case DType::e4m3:
      break;  // NumPy has neither
  }
  fail(Fault::internal, "[write_npy] no NumPy type for ", dtype);
}

// a Python tuple: (), (3,), (3, 4)
std::string tuple(const Shape& shape) {
  std::string text = "(";
  for (int i = 0; i < shape.rank(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.rank() == 1 ? ",)" : ")");
}

// magic, version, length of what follows, a Python dictionary, spaces up to a multiple of 64 bytes
std::string header(DType dtype, const Shape& shape) {
  constexpr std::size_t before = 10;
  std::string dictionary = "{'descr': '" + std::string(descr(dtype)) +
                           "', 'fortran_order': False, 'shape': " + tuple(shape) + ", }";
  while ((before + dictionary.size() + 1) % 64 != 0) dictionary += ' ';
  dictionary += '\n';
  const std::size_t length = dictionary.size();  // rank <= 4: far below 64 KiB
  return std::string("\x93NUMPY\x01\x00", 8) + char(length & 0xff) + char(length >> 8) + dictionary;
}

}  // namespace

std::string_view numpy_name(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return "float64";
    case DType::f32:
      return "float32";
    case DType::i32:
      return "int32";
    case DType::i8:
      return "int8";
    case DType::bf16:
    case DType::e4m3:
      break;
  }
  fail(Fault::internal, "[numpy_name] no NumPy type for ", dtype);
}

void write_npy(const std::filesystem::path& path, DType dtype, const Shape& shape,
               std::span<const std::byte> bytes) {
  check(Index(bytes.size()) == shape.elements() * bits(dtype) / 8, "[write_npy] expected ", shape,
        " ", dtype, ", got ", bytes.size(), " bytes");
  const std::string head = header(dtype, shape);
  File file = File::create(path);
  file.write_all(std::as_bytes(std::span(head)));
  file.write_all(bytes);
  file.close();
}

}  // namespace tern
