// What fuzz targets share. Any input must either work or throw an Error with one of the faults that
// the header of what reads it names. Everything else ends the process, which libFuzzer keeps: a
// crash, a report of a sanitizer, any other exception, a property that does not hold.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "core/check.h"
#include "data/io/files.h"

namespace tern::fuzz {

[[noreturn]] inline void finding(const std::string& what) {
  std::fprintf(stderr, "finding: %s\n", what.c_str());
  std::abort();
}

inline void expect(bool holds, const char* what) {
  if (!holds) finding(what);
}

// Whether the call works; false if it throws an Error that is allowed.
template <class Call>
bool works(std::initializer_list<Fault> allowed, Call&& call) {
  try {
    call();
    return true;
  } catch (const Error& e) {
    expect(*e.what() != '\0', "an Error without text");
    for (const Fault fault : allowed)
      if (e.fault == fault) return false;
    finding("Fault " + std::to_string(int(e.fault)) + ": " + e.what());
  }
}

// "first\n---\nsecond\n---\nthird"
inline std::vector<std::string_view> parts_of(std::string_view input) {
  constexpr std::string_view kBetween = "\n---\n";
  std::vector<std::string_view> parts;
  for (std::size_t end; (end = input.find(kBetween)) != input.npos;) {
    parts.push_back(input.substr(0, end));
    input.remove_prefix(end + kBetween.size());
  }
  parts.push_back(input);
  return parts;
}

// A directory for the files of a target, one for each process, in TMPDIR: scripts/fuzz.sh removes
// it.
inline const std::filesystem::path& room() {
  static const std::filesystem::path path = [] {
    std::string name = std::filesystem::temp_directory_path() / "tern-fuzz-XXXXXX";
    expect(::mkdtemp(name.data()) != nullptr, "a temporary directory");
    return std::filesystem::path(name);
  }();
  return path;
}

// an empty directory in it
inline std::filesystem::path empty_room(const char* name) {
  const std::filesystem::path path = room() / name;
  std::filesystem::remove_all(path);
  std::filesystem::create_directory(path);
  return path;
}

inline void write(const std::filesystem::path& path, std::string_view bytes) {
  std::filesystem::remove(path);
  File::create(path).write_all(std::as_bytes(std::span(bytes)));
}

// A target: what runs for every input.
void run(std::string_view input);

}  // namespace tern::fuzz

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  tern::fuzz::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
