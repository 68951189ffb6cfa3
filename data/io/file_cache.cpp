#include "data/io/file_cache.h"

#include <sys/resource.h>

#include <algorithm>

namespace tern {

std::size_t FileCache::usual_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
  return std::size_t(std::clamp<rlim_t>(limit.rlim_cur / 4, 1, 1024));
}

std::shared_ptr<const File> FileCache::open(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  if (const auto known = by_path_.find(path.string()); known != by_path_.end()) {
    files_.splice(files_.begin(), files_, known->second);
    return files_.front();
  }
  if (files_.size() >= most_) {
    by_path_.erase(files_.back()->path().string());
    files_.pop_back();
  }
  files_.push_front(std::make_shared<const File>(File::open(path)));
  by_path_[path.string()] = files_.begin();
  return files_.front();
}

void FileCache::forget(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  const auto known = by_path_.find(path.string());
  if (known == by_path_.end()) return;
  files_.erase(known->second);
  by_path_.erase(known);
}

}  // namespace tern
