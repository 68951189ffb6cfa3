#include "tests/support/npy.h"

#include <regex>
#include <stdexcept>

#include "tests/support/temporary_directory.h"

namespace tern {

NpyArray read_npy(const std::filesystem::path& path) {
  const auto expect = [&](bool holds, const char* what) {
    if (!holds) throw std::runtime_error(path.string() + ": expected " + what);
  };
  const std::string file = read_text(path);
  expect(file.size() >= 10 && file.compare(0, 8, "\x93NUMPY\x01\x00", 8) == 0, "a 1.0 .npy file");
  const std::size_t length = std::uint8_t(file[8]) + 256 * std::size_t(std::uint8_t(file[9]));
  expect((10 + length) % 64 == 0 && file.size() >= 10 + length, "a header of whole 64 bytes");
  const std::string header = file.substr(10, length);
  std::smatch m;
  expect(std::regex_match(header, m,
                          std::regex(R"(\{'descr': '(\S+)', 'fortran_order': False, )"
                                     R"('shape': \(((\d+,( \d+)?(, \d+)*)?)\), \} *\n)")),
         "a header as NumPy writes it");
  NpyArray array{.descr = m[1], .bytes = file.substr(10 + length)};
  const std::string shape = m[2];
  std::size_t bytes = std::stoul(array.descr.substr(2));
  const std::regex number(R"(\d+)");
  for (std::sregex_iterator i(shape.begin(), shape.end(), number), end; i != end; ++i) {
    array.shape.push_back(std::stoll(i->str()));
    bytes *= std::size_t(array.shape.back());
  }
  expect(array.bytes.size() == bytes, "as many bytes as the shape says");
  return array;
}

}  // namespace tern
