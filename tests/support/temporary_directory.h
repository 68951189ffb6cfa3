// A directory of its own for one test, removed with everything in it. Others may enter it (mode
// 0755), so that children without privileges reach what the test puts there.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace tern {

class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

std::string read_text(const std::filesystem::path& path);  // throws if it cannot be opened
void write_text(const std::filesystem::path& path, std::string_view text);

// A file system of a few bytes, mounted at an empty directory and unmounted at the end.
// Where mounting is refused mounted() is false: use Command::limits with RLIMIT_FSIZE instead.
class SmallDisk {
 public:
  SmallDisk(const std::filesystem::path& directory, std::size_t bytes);
  ~SmallDisk();
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool mounted() const { return mounted_; }

 private:
  std::filesystem::path path_;
  bool mounted_;
};

}  // namespace tern
