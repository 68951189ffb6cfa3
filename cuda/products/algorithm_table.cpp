#include "cuda/products/algorithm_table.h"

#include <dlfcn.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iomanip>

#include "core/check.h"

namespace tern::cuda {
namespace {

namespace fs = std::filesystem;

constexpr int kFields = 9;  // of a key
constexpr std::size_t kDigits = 16;

constexpr const char* kHeader =
    "# Measured algorithms of cuBLASLt's products, written by `tern bench gemm`, sorted. What is\n"
    "# not here takes the library's first proposal. Fields, separated by tabs: GPU, library,\n"
    "# M, N, K of c (M, N) = a (M, K) b (K, N), a and b (^T: stored transposed), c (+: added to),\n"
    "# where the factors lie, and the cublasLtMatmulAlgo_t as 8 hexadecimal words.\n";

std::string hexadecimal(const AlgorithmTable::Words& words) {
  std::ostringstream text;
  text << std::hex << std::setfill('0');
  for (std::size_t i = 0; i < words.size(); ++i)
    text << (i ? " " : "") << std::setw(kDigits) << words[i];
  return text.str();
}

// "" and the words, or what is wrong
std::string parse(const std::string& text, AlgorithmTable::Words& words) {
  constexpr std::size_t length = std::tuple_size_v<AlgorithmTable::Words> * (kDigits + 1) - 1;
  if (text.size() != length) return "8 words of 16 hexadecimal digits";
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string word = text.substr(i * (kDigits + 1), kDigits);
    const bool digits = word.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (!digits || (i > 0 && text[i * (kDigits + 1) - 1] != ' '))
      return "8 words of 16 hexadecimal digits";
    words[i] = std::stoull(word, nullptr, 16);
  }
  return {};
}

}  // namespace

fs::path algorithm_table_path() {
  Dl_info here{};
  const bool found = dladdr(reinterpret_cast<const void*>(&algorithm_table_path), &here) != 0;
  check(found && here.dli_fname, "[algorithm_table_path] this library has no file");
  // a program found by PATH is named without its folder
  const bool placed = std::strchr(here.dli_fname, '/') != nullptr;
  return fs::weakly_canonical(placed ? here.dli_fname : "/proc/self/exe")
             .parent_path()
             .parent_path() /
         "share/tern/algorithms.txt";
}

AlgorithmTable::AlgorithmTable(fs::path path) : path_(std::move(path)) {
  std::error_code unknown;
  if (!fs::exists(path_, unknown)) return;
  std::ifstream in(path_);
  require(in.good(), Fault::input, path_.string(), ": cannot be read: ", std::strerror(errno));
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (!line.empty() && line[0] != '#') read_line(line, number);
  }
}

void AlgorithmTable::read_line(const std::string& line, int number) {
  const auto tabs = std::count(line.begin(), line.end(), '\t');
  require(tabs == kFields, Fault::input, path_.string(), ':', number, ": expected ", kFields + 1,
          " fields separated by tabs, got ", tabs + 1);
  const std::size_t last = line.rfind('\t');
  Words words{};
  const std::string wrong = parse(line.substr(last + 1), words);
  require(wrong.empty(), Fault::input, path_.string(), ':', number, ": expected ", wrong, ", got '",
          line.substr(last + 1), "'");
  require(entries_.emplace(line.substr(0, last), words).second, Fault::input, path_.string(), ':',
          number, ": a second entry for one product");
}

const AlgorithmTable::Words* AlgorithmTable::find(const std::string& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

std::string AlgorithmTable::lines(const std::string& machine) const {
  std::string text;
  for (const auto& [key, words] : entries_)
    if (key.starts_with(machine)) text += key + '\t' + hexadecimal(words) + '\n';
  return text;
}

void AlgorithmTable::write() const {
  const fs::path next = path_.string() + ".new";
  std::error_code failed;
  fs::create_directories(path_.parent_path(), failed);
  std::ofstream out(next);
  out << kHeader << lines();
  out.close();
  if (out) fs::rename(next, path_, failed);
  require(out && !failed, Fault::disk, path_.string(),
          ": cannot be written: ", failed ? failed.message() : std::strerror(errno));
}

}  // namespace tern::cuda
