// One slab, best fit, neighbours merged. Host arithmetic only: no driver call after construction.
// With base == nullptr it hands out addresses of memory that does not exist: that is a dry run.
// Where a piece goes does not depend on the capacity, so a dry run predicts the peak to the byte.
// Where nothing was planned, a pool may grow by further slabs.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

namespace tern {

class Pool {
 public:
  Pool(void* base, std::size_t capacity)
      : base_(static_cast<std::byte*>(base)), capacity_(capacity) {}
  void* allocate(std::size_t bytes);  // throws Error(Fault::memory): wanted, free, slab

  // From now on what does not fit is taken from further slabs. new_slab(n): memory of n bytes,
  // aligned to 256, that outlives the pool; it throws if there is none.
  void let_grow(std::function<void*(std::size_t)> new_slab) { new_slab_ = std::move(new_slab); }

  void release(void* p, std::size_t bytes) noexcept;

  std::size_t used() const { return used_ + (next_ ? next_->used() : 0); }  // bytes
  // bytes of slabs ever touched
  std::size_t high_water() const { return high_water_ + (next_ ? next_->high_water() : 0); }
  std::size_t capacity() const { return capacity_ + (next_ ? next_->capacity() : 0); }  // bytes
  // Pieces handed out so far: changes while the host gives the device work. For any thread.
  std::uint64_t allocations() const { return allocations_; }

 private:
  void* allocate_next(std::size_t want);

  std::byte* base_;
  std::size_t capacity_, used_ = 0, high_water_ = 0;
  std::atomic<std::uint64_t> allocations_{0};
  std::size_t end_ = 0;                       // everything from here on is free
  std::map<std::size_t, std::size_t> holes_;  // offset -> size, both bytes, all below end_
  std::function<void*(std::size_t)> new_slab_{};
  std::unique_ptr<Pool> next_{};  // of the next slab
};

}  // namespace tern
