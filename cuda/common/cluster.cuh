// Barriers in shared memory, from sm_80 on; from sm_90 on they count bytes, and clusters of blocks
// reach one another's shared memory. One function an instruction; shared memory is named by 32-bit
// addresses.
#pragma once

#include <cstdint>

namespace tern::cuda::hopper {

using Address = std::uint32_t;  // in shared memory

__device__ inline Address shared_address(const void* p) {
  return Address(__cvta_generic_to_shared(p));
}

// Barriers: a phase ends when all expected arrivals have come and all expected bytes have landed.

__device__ inline void init_barrier(Address barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
// Arrives; what the thread wrote is seen by those that wait.
__device__ inline void arrive(Address barrier) {
  asm volatile("{\n.reg .b64 phase;\nmbarrier.arrive.shared::cta.b64 phase, [%0];\n}" ::"r"(barrier)
               : "memory");
}
// Waits for the end of the phase of this parity: 0 is the first. The bytes that counted are visible
// then. (An acquire from the cluster would also empty the L1 cache, through which none of them
// came.)
__device__ inline void wait_barrier(Address barrier, unsigned parity) {
  unsigned done = 0;
  do {
    asm volatile(
        "{\n.reg .pred over;\n"
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
        "mbarrier.test_wait.parity.shared::cta.b64 over, [%1], %2;\n"
#else
        "mbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2;\n"
#endif
        "selp.u32 %0, 1, 0, over;\n}"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
  } while (!done);
}

// The rest needs sm_90: whether this code may call it.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
inline constexpr bool kClusters = true;
#else
inline constexpr bool kClusters = false;
#endif

// makes initialised barriers visible to the copy engine and to the cluster
__device__ inline void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
// arrives, and expects so many bytes more in this phase
__device__ inline void arrive_and_expect(Address barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}

// The cluster: the blocks that share one another's shared memory.

__device__ inline unsigned block_in_cluster() {
  unsigned rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
// Arrives at the same barrier of another block of the cluster, or of this one. It orders no memory
// beyond this block's: a release to the cluster would wait for every store of the thread.
__device__ inline void arrive_at_block(Address barrier, unsigned block) {
  asm volatile(
      "{\n.reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [there];\n}" ::"r"(barrier),
      "r"(block)
      : "memory");
}
// Waits for every thread of every block of the cluster; orders no memory before it.
__device__ inline void synchronize_cluster() {
  asm volatile("barrier.cluster.arrive.relaxed;\nbarrier.cluster.wait.acquire;" ::: "memory");
}
// Two numbers to the same place in another block; their 8 bytes count at the same barrier there.
__device__ inline void store_at_block(Address to, float x, float y, Address barrier,
                                      unsigned block) {
  asm volatile(
      "{\n.reg .b32 there, counted;\n"
      "mapa.shared::cluster.u32 there, %0, %4;\n"
      "mapa.shared::cluster.u32 counted, %3, %4;\n"
      "st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.f32 [there], {%1, %2}, "
      "[counted];\n}" ::"r"(to),
      "f"(x), "f"(y), "r"(barrier), "r"(block)
      : "memory");
}

}  // namespace tern::cuda::hopper
