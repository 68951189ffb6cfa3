// Safetensors files from text: "16\n{...}" is a header with its length before it and 16 bytes of
// tensors behind it; anything else is the file itself.
#pragma once

#include <charconv>

#include "data/io/safetensors.h"
#include "tests/fuzz/fuzz.h"

namespace tern::fuzz {

inline std::string safetensors_bytes(std::string_view input) {
  constexpr std::size_t kMost = 4096;
  const std::size_t line = input.find('\n');
  std::size_t bytes = 0;
  if (line == input.npos) return std::string(input);
  const auto [end, error] = std::from_chars(input.data(), input.data() + line, bytes);
  if (error != std::errc() || end != input.data() + line || bytes > kMost)
    return std::string(input);
  const std::uint64_t header = input.size() - line - 1;
  std::string file(sizeof header, '\0');
  std::memcpy(file.data(), &header, sizeof header);
  file += input.substr(line + 1);
  return file.append(bytes, '\x3f');
}

// Tensors lie in the file, one after the other, and all of their bytes can be read.
inline void check_entries(const SafetensorsFile& file, std::uint64_t file_bytes) {
  std::uint64_t sum = 0;
  for (const auto& [name, e] : file.entries()) {
    expect(!name.empty() && e.offset >= 8 && e.offset <= file_bytes &&
               e.bytes <= file_bytes - e.offset,
           "a tensor lies outside of its file");
    std::uint64_t items = 1;
    for (const std::int64_t d : e.shape)
      expect(d >= 0 && !__builtin_mul_overflow(items, std::uint64_t(d), &items),
             "a shape of more elements than can be counted");
    expect(e.bytes == items * item_bytes(e.type), "a tensor's bytes are not those of its shape");
    std::vector<std::byte> bytes(e.bytes);
    file.read(e, 0, bytes);
    if (e.type == StoredType::f32 || e.type == StoredType::f64)
      expect(file.read_real(name).size() == items, "real numbers of a tensor are missing");
    if (e.type == StoredType::i32)
      expect(file.read_i32(name).size() == items, "whole numbers of a tensor are missing");
    sum += e.bytes;
  }
  expect(sum + 8 <= file_bytes, "tensors overlap");
}

}  // namespace tern::fuzz
