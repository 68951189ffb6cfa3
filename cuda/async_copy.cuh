// Copies to shared memory that a thread does not wait for until it needs them.
#pragma once

namespace tern::cuda {

// the Bytes of a piece (4, 8 or 16), unless it is outside
template <int Bytes>
__device__ inline void copy_async_if(bool inside, void* to_shared, const void* from) {
  const auto to = unsigned(__cvta_generic_to_shared(to_shared));
  asm volatile(
      "{ .reg .pred p; setp.ne.u32 p, %3, 0; @p cp.async.ca.shared.global [%0], [%1], %2; }" ::"r"(
          to),
      "l"(from), "n"(Bytes), "r"(unsigned(inside))
      : "memory");
}
// ends a group of copies
__device__ inline void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// this thread sees its copies, but for those of the last `pending` groups
template <int pending>
__device__ inline void await_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

}  // namespace tern::cuda
