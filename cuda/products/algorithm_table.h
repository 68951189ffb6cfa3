// Measured algorithms of the library's products: a text file, one line an entry, sorted. Written by
// `tern bench gemm` alone; a product without an entry takes the library's first proposal.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace tern::cuda {

// ../share/tern/algorithms.txt beside the folder of the plugin, built or installed
std::filesystem::path algorithm_table_path();

class AlgorithmTable {
 public:
  using Words = std::array<std::uint64_t, 8>;  // of a cublasLtMatmulAlgo_t, which may be stored

  AlgorithmTable() = default;
  // A missing file is an empty table. Error(Fault::input) in one line: what is wrong and where.
  explicit AlgorithmTable(std::filesystem::path path);

  // The key's fields, separated by tabs: GPU, library, then those of the product.
  const Words* find(const std::string& key) const;  // null: no entry
  void set(const std::string& key, const Words& algorithm) { entries_[key] = algorithm; }
  void erase(const std::string& key) { entries_.erase(key); }

  const std::filesystem::path& path() const { return path_; }
  std::string lines(const std::string& machine = {}) const;  // the entries whose key begins so
  void write() const;  // replaces the file as a whole; Error(Fault::disk)

 private:
  void read_line(const std::string& line, int number);
  std::filesystem::path path_{};
  std::map<std::string, Words> entries_{};
};

}  // namespace tern::cuda
