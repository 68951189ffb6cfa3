// Files that stay open between reads, up to a limit: a corpus of thousands of shards needs no more
// descriptors than a small one.
#pragma once

#include <cstddef>
#include <filesystem>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "data/io/files.h"

namespace tern {

class FileCache {
 public:
  // a quarter of the descriptors that this process may have, 1 to 1024
  static std::size_t usual_limit();
  explicit FileCache(std::size_t most = usual_limit()) : most_(most) {}

  // The file, opened if it is not open yet; the one that was used least recently is closed for it.
  // Stays open as long as the caller holds it. Any thread. Fault::input, Fault::disk as File::open.
  std::shared_ptr<const File> open(const std::filesystem::path& path);
  // The next open() opens the path again.
  void forget(const std::filesystem::path& path);

 private:
  using Files = std::list<std::shared_ptr<const File>>;

  std::size_t most_;
  std::mutex mutex_;
  Files files_;  // last used first
  std::unordered_map<std::string, Files::iterator> by_path_;
};

}  // namespace tern
