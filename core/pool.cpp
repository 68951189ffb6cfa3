#include "core/pool.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "core/check.h"

namespace tern {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kFirstGrowth = std::size_t(64) << 20;  // bytes

std::size_t round_up(std::size_t n) {
  const std::size_t largest = std::numeric_limits<std::size_t>::max();
  if (n > largest - kAlignment) return largest;  // fits nowhere
  return std::max(kAlignment, (n + kAlignment - 1) / kAlignment * kAlignment);
}

}  // namespace

void* Pool::allocate(std::size_t bytes) {
  ++allocations_;
  const std::size_t want = round_up(bytes);
  auto best = holes_.end();
  for (auto it = holes_.begin(); it != holes_.end(); ++it)
    if (it->second >= want && (best == holes_.end() || it->second < best->second)) best = it;
  std::size_t offset = end_;
  if (best != holes_.end()) {
    offset = best->first;
    const std::size_t rest = best->second - want;
    holes_.erase(best);
    if (rest) holes_[offset + want] = rest;
  } else if (want > capacity_ - end_ && new_slab_) {
    return allocate_next(want);
  } else {
    require(want <= capacity_ - end_, Fault::memory, "[Pool] out of memory: requested ", want,
            " B, free ", capacity_ - used_, " B (", capacity_ - end_, " B at the end), slab ",
            capacity_, " B");
    end_ += want;
  }
  used_ += want;
  high_water_ = std::max(high_water_, end_);
  return base_ + offset;
}

// Slabs double, so that their number stays small.
void* Pool::allocate_next(std::size_t want) {
  if (!next_) {
    const std::size_t slab = std::max({want, kFirstGrowth, 2 * capacity_});
    next_ = std::make_unique<Pool>(new_slab_(slab), slab);
    next_->new_slab_ = new_slab_;
  }
  return next_->allocate(want);
}

void Pool::release(void* p, std::size_t bytes) noexcept {
  const auto* address = static_cast<std::byte*>(p);
  if (next_ && (address < base_ || address >= base_ + capacity_)) return next_->release(p, bytes);
  std::size_t offset = static_cast<std::byte*>(p) - base_, size = round_up(bytes);
  used_ -= size;
  auto next = holes_.lower_bound(offset);
  if (next != holes_.end() && offset + size == next->first) {
    size += next->second;
    next = holes_.erase(next);
  }
  if (next != holes_.begin()) {
    const auto previous = std::prev(next);
    if (previous->first + previous->second == offset) {
      offset = previous->first;
      size += previous->second;
      holes_.erase(previous);
    }
  }
  if (offset + size == end_)
    end_ = offset;
  else
    holes_[offset] = size;
}

}  // namespace tern
