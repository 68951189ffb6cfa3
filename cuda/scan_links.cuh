// What some steps of a scan over time do to a state, and how blocks publish it: for one channel of
// one chunk in a single 64-bit word, so that it needs neither flags nor fences.
#pragma once

#include <cuda/atomic>

#include "cuda/device.cuh"

namespace tern::cuda {

// Some steps: state after = a * state before + u. With a == 0, u itself is the state after.
struct alignas(8) Link {
  float a, u;

  __device__ float operator()(float before) const { return a == 0 ? u : fmaf(a, before, u); }
  __device__ bool is_state() const { return a == 0; }
  // memory starts with all bits set; arithmetic makes other NaNs, and publish() sees to it
  __device__ bool is_published() const { return __float_as_uint(a) != ~0u; }
};

__device__ inline Link then(const Link& first, const Link& second) {
  return {first.a * second.a, fmaf(second.a, first.u, second.u)};
}

using LinkWord = ::cuda::atomic_ref<std::uint64_t, ::cuda::thread_scope_device>;

__device__ inline Link read_link(std::uint64_t* word) {
  const std::uint64_t bits = LinkWord(*word).load(::cuda::memory_order_relaxed);
  return {__uint_as_float(unsigned(bits)), __uint_as_float(unsigned(bits >> 32))};
}
__device__ inline void publish(std::uint64_t* word, const Link& link) {
  const unsigned a = link.a != link.a ? 0x7fffffffu : __float_as_uint(link.a);
  LinkWord(*word).store(std::uint64_t(__float_as_uint(link.u)) << 32 | a,
                        ::cuda::memory_order_relaxed);
}
__device__ inline Link shuffle(const Link& link, int lane) {
  return {__shfl_sync(kAllLanes, link.a, lane), __shfl_sync(kAllLanes, link.u, lane)};
}

// Whether for all 4 channels of the warp the nearest state lies before anything unpublished.
__device__ inline bool reaches_states(const Link& near, const Link& far) {
  const std::uint64_t mine = 0x1111111111111111u << threadIdx.x % 4;
  const auto vote = [&](bool of_near, bool of_far) {
    const std::uint64_t low = __ballot_sync(kAllLanes, of_near);
    return (std::uint64_t(__ballot_sync(kAllLanes, of_far)) << 32 | low) & mine;
  };
  const std::uint64_t missing = vote(!near.is_published(), !far.is_published());
  const std::uint64_t states = vote(near.is_state(), far.is_state());
  const std::uint64_t nearest = states & (~states + 1);
  return __all_sync(kAllLanes, states && !(missing & (nearest - 1)));
}

}  // namespace tern::cuda
