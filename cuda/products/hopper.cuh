// Hopper's asynchronous machinery, one function an instruction (sm_90a): the copy engine and
// warpgroup products, beside the barriers and clusters of cluster.cuh.
#pragma once

#include <cuda.h>

#include "cuda/common/cluster.cuh"

namespace tern::cuda::hopper {

// The copy engine: a box at (x, y) or (x, y, z) of a tensor, innermost first, to shared memory; its
// bytes count at the barrier.

__device__ inline void prefetch_map(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}
__device__ inline void copy_box(Address to, const CUtensorMap& map, int x, int y, Address barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3}], [%4];" ::"r"(to),
      "l"(&map), "r"(x), "r"(y), "r"(barrier)
      : "memory");
}
__device__ inline void copy_box(Address to, const CUtensorMap& map, int x, int y, int z,
                                Address barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3, %4}], [%5];" ::"r"(to),
      "l"(&map), "r"(x), "r"(y), "r"(z), "r"(barrier)
      : "memory");
}
// to the same place in every block of the cluster whose bit is set, counting at each one's barrier
__device__ inline void copy_box_to_blocks(Address to, const CUtensorMap& map, int x, int y, int z,
                                          Address barrier, std::uint16_t blocks) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%2, %3, %4}], [%5], %6;" ::"r"(to),
      "l"(&map), "r"(x), "r"(y), "r"(z), "r"(barrier), "h"(blocks)
      : "memory");
}

// Registers a thread of this warpgroup may use from here on; all its warps say so together.
template <int count>
__device__ inline void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count));
}
template <int count>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count));
}

// Warpgroup products run on their own after they are issued, in order, in groups.

// Rows of 128 bytes of the inner dimension, permuted over 128 bytes, in blocks of 8 rows that lie
// 1024 bytes apart and start at multiples of 1024. Along the inner dimension, or to other blocks of
// rows: add the bytes / 16.
__device__ inline std::uint64_t matrix(Address first_row) {
  constexpr std::uint64_t kSwizzle128 = std::uint64_t(1) << 62;
  constexpr std::uint64_t kBlocksApart = std::uint64_t(1024 / 16) << 32;
  constexpr std::uint64_t kUnused = std::uint64_t(1) << 16;
  return kSwizzle128 | kBlocksApart | kUnused | (first_row & 0x3ffff) >> 4;
}
// before products, after this thread touched their registers or its warp went separate ways
__device__ inline void begin_products() {
  __syncwarp();
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ inline void end_group() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// all but the latest `running` groups are over
template <int running>
__device__ inline void wait_groups() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(running) : "memory");
}
// keeps the compiler from using sums before the wait that precedes this
__device__ inline void settle(int (&sum)[64]) {
#pragma unroll
  for (int i = 0; i < 64; ++i) asm volatile("" : "+r"(sum[i])::"memory");
}

// sums (64, 128) of a warpgroup (+)= q (64, 32) t (128, 32)^T, exact in int32; add: keep what is
// there. Thread: rows 16 (warp % 4) + lane / 4 (+ 8), columns 8 j + 2 (lane % 4) (+ 1) at d[4 j] (+
// 2) (+ 1).
__device__ inline void multiply(int (&d)[64], std::uint64_t q, std::uint64_t t, bool add) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "%64, %65, add;\n}"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]), "+r"(d[4]), "+r"(d[5]), "+r"(d[6]),
        "+r"(d[7]), "+r"(d[8]), "+r"(d[9]), "+r"(d[10]), "+r"(d[11]), "+r"(d[12]), "+r"(d[13]),
        "+r"(d[14]), "+r"(d[15]), "+r"(d[16]), "+r"(d[17]), "+r"(d[18]), "+r"(d[19]), "+r"(d[20]),
        "+r"(d[21]), "+r"(d[22]), "+r"(d[23]), "+r"(d[24]), "+r"(d[25]), "+r"(d[26]), "+r"(d[27]),
        "+r"(d[28]), "+r"(d[29]), "+r"(d[30]), "+r"(d[31]), "+r"(d[32]), "+r"(d[33]), "+r"(d[34]),
        "+r"(d[35]), "+r"(d[36]), "+r"(d[37]), "+r"(d[38]), "+r"(d[39]), "+r"(d[40]), "+r"(d[41]),
        "+r"(d[42]), "+r"(d[43]), "+r"(d[44]), "+r"(d[45]), "+r"(d[46]), "+r"(d[47]), "+r"(d[48]),
        "+r"(d[49]), "+r"(d[50]), "+r"(d[51]), "+r"(d[52]), "+r"(d[53]), "+r"(d[54]), "+r"(d[55]),
        "+r"(d[56]), "+r"(d[57]), "+r"(d[58]), "+r"(d[59]), "+r"(d[60]), "+r"(d[61]), "+r"(d[62]),
        "+r"(d[63])
      : "l"(q), "l"(t), "r"(int(add)));
}

}  // namespace tern::cuda::hopper
