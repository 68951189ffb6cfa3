#include "data/io/npy.h"

#include <string>

#include "data/io/files.h"
#include "data/io/stored_type.h"

namespace tern {
namespace {

// a Python tuple: (), (3,), (3, 4)
std::string tuple(const Shape& shape) {
  std::string text = "(";
  for (int i = 0; i < shape.rank(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.rank() == 1 ? ",)" : ")");
}

// magic, version, length of what follows, a Python dictionary, spaces up to a multiple of 64 bytes
std::string header(DType dtype, const Shape& shape) {
  const std::string_view descr = info_of(stored_type(dtype)).npy;
  check(!descr.empty(), "[write_npy] no NumPy type for ", dtype);
  constexpr std::size_t before = 10;
  std::string dictionary = "{'descr': '" + std::string(descr) +
                           "', 'fortran_order': False, 'shape': " + tuple(shape) + ", }";
  while ((before + dictionary.size() + 1) % 64 != 0) dictionary += ' ';
  dictionary += '\n';
  const std::size_t length = dictionary.size();  // rank <= 4: far below 64 KiB
  return std::string("\x93NUMPY\x01\x00", 8) + char(length & 0xff) + char(length >> 8) + dictionary;
}

}  // namespace

std::string_view numpy_name(DType dtype) {
  const std::string_view name = info_of(stored_type(dtype)).numpy;
  check(!name.empty(), "[numpy_name] no NumPy type for ", dtype);
  return name;
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
