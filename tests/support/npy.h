// Reads .npy files for the tests, sharing nothing with the writer.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

namespace tern {

struct NpyArray {
  std::string descr{};  // "<f8", "|i1", ...
  std::vector<std::int64_t> shape{};
  std::string bytes{};

  template <class T>
  std::vector<T> values() const {
    std::vector<T> out(bytes.size() / sizeof(T));
    if (!out.empty()) std::memcpy(out.data(), bytes.data(), out.size() * sizeof(T));
    return out;
  }
};

// throws std::runtime_error naming the defect
NpyArray read_npy(const std::filesystem::path& path);

}  // namespace tern
