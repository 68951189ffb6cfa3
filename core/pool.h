// One slab, best fit, neighbours merged. Host arithmetic only: no driver call after construction.
// With base == nullptr it hands out addresses of memory that does not exist: that is a dry run.
// Where a piece goes does not depend on the capacity, so a dry run predicts the peak to the byte.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>

namespace tern {

class Pool {
 public:
  Pool(void* base, std::size_t capacity)
      : base_(static_cast<std::byte*>(base)), capacity_(capacity) {}
  void* allocate(std::size_t bytes);  // throws Error(Fault::memory): wanted, free, slab
  void release(void* p, std::size_t bytes) noexcept;

  std::size_t used() const { return used_; }              // bytes
  std::size_t high_water() const { return high_water_; }  // bytes of slab ever touched
  std::size_t capacity() const { return capacity_; }      // bytes
  // Pieces handed out so far: changes while the host gives the device work. For any thread.
  std::uint64_t allocations() const { return allocations_; }

 private:
  std::byte* base_;
  std::size_t capacity_, used_ = 0, high_water_ = 0;
  std::atomic<std::uint64_t> allocations_{0};
  std::size_t end_ = 0;                       // everything from here on is free
  std::map<std::size_t, std::size_t> holes_;  // offset -> size, both bytes, all below end_
};

}  // namespace tern
