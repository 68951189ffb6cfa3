// One process per run directory. The lock is the kernel's (flock), so that it ends with its owner,
// however that dies; pid and host in the file are for the message only.
#pragma once

#include <filesystem>
#include <utility>

namespace tern {

class RunLock {
 public:
  // Fault::usage, naming the owner, when another process holds it; Fault::disk
  explicit RunLock(const std::filesystem::path& file);
  ~RunLock();
  RunLock(RunLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  RunLock& operator=(RunLock&&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace tern
