#include <cuda_pipeline_primitives.h>

#include "core/device_traits.h"
#include "cuda/products/ternary_product.cuh"

namespace tern::cuda {
namespace {

constexpr int kThreads = 256;

// Tensor-core kernel: tiles of y, bytes of I at a time.
constexpr int kTile = 128;
constexpr int kDepth = 64;
constexpr int kStages = 3;
constexpr int kChunks = kDepth / 16;  // 16-byte pieces of a row of a stage
constexpr int kBytes = kTile * kDepth;

// Where piece `chunk` of a row lies in shared memory: the pieces of a pair of rows change places
// from pair to pair, so that eight rows' equal pieces lie in different banks.
__device__ int piece(int row, int chunk) {
  return row * kDepth + (chunk ^ (row >> 1 & (kChunks - 1))) * 16;
}

// A (128, 64) piece of a row-major matrix on its way to shared memory; zeros outside of it.
__device__ void fetch(std::int8_t* to, const std::int8_t* from, int row0, int rows, int depth0,
                      int columns) {
#pragma unroll
  for (int j = 0; j < kTile * kChunks / kThreads; ++j) {
    const int e = int(threadIdx.x) + j * kThreads, row = e / kChunks, chunk = e % kChunks;
    const int depth = depth0 + chunk * 16;
    const bool inside = row0 + row < rows && depth < columns;
    const Index at = inside ? Index(row0 + row) * columns + depth : 0;
    __pipeline_memcpy_async(to + piece(row, chunk), from + at, 16, inside ? 0 : 16);
  }
}

// Four 8-row, 16-byte matrices; each lane gives the address of one row and gets 4 bytes of each.
__device__ void load_matrices(unsigned (&to)[4], const std::int8_t* from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(unsigned(__cvta_generic_to_shared(from)))
               : "memory");
}

__device__ void multiply(int (&sum)[4], const unsigned (&q)[4], unsigned t0, unsigned t1) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
      : "r"(q[0]), "r"(q[1]), "r"(q[2]), "r"(q[3]), "r"(t0), "r"(t1));
}

// One stage's products for a warp: (64, 32) sums from rows of q and of t.
__device__ void multiply_stage(int (&sum)[4][4][4], const std::int8_t* q, const std::int8_t* t,
                               int row, int column) {
  const int lane = int(threadIdx.x) % 32;
#pragma unroll
  for (int chunk = 0; chunk < kChunks; chunk += 2) {
    unsigned a[4][4], b[2][4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
      load_matrices(a[i], q + piece(row + i * 16 + lane % 16, chunk + lane / 16));
#pragma unroll
    for (int j = 0; j < 2; ++j)
      load_matrices(b[j],
                    t + piece(column + j * 16 + lane / 16 * 8 + lane % 8, chunk + lane / 8 % 2));
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j)
        multiply(sum[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
  }
}

// Block: a (128, 128) tile of y; warp: (64, 32) of it, two rows of four warps; thread: rows lane /
// 4 and lane / 4 + 8 of every 16, two columns of every 8. All share a ring of 64-byte-deep stages.
// 2 N O I operations on int8 tensor cores, which bound it.
// Sums in int32: exact, so reproducible.
template <class A>
__global__ void __launch_bounds__(kThreads) ternary_product_tensor(const IntegerProduct<A> p) {
  __shared__ alignas(128) std::int8_t qs[kStages][kBytes];
  __shared__ alignas(128) std::int8_t ts[kStages][kBytes];
  const int across = (p.O + kTile - 1) / kTile, depths = (p.I + kDepth - 1) / kDepth;
  const int n0 = int(blockIdx.x) / across * kTile, o0 = int(blockIdx.x) % across * kTile;
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
  const int row = warp / 4 * 64, column = warp % 4 * 32;

  const auto fetch_stage = [&](int k) {
    if (k < depths) {
      fetch(qs[k % kStages], p.q, n0, p.N, k * kDepth, p.I);
      fetch(ts[k % kStages], p.t, o0, p.O, k * kDepth, p.I);
    }
    __pipeline_commit();
  };
  for (int k = 0; k < kStages - 1; ++k) fetch_stage(k);
  int sum[4][4][4] = {};
  for (int k = 0; k < depths; ++k) {
    __pipeline_wait_prior(kStages - 2);
    __syncthreads();  // stage k is there, and everyone is done with the one before it
    fetch_stage(k + kStages - 1);
    multiply_stage(sum, qs[k % kStages], ts[k % kStages], row, column);
  }

#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int n = n0 + row + i * 16 + half * 8 + lane / 4;
      if (n >= p.N) continue;
      const RowFactor<A> factor(p.row_scale[n], *p.scale);
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const int o = o0 + column + j / 2 * 8 + lane % 4 * 2 + j % 2;
        if (o < p.O)
          p.y[Index(n) * p.O + o] = from_float<A>(factor(float(sum[i][j / 2][half * 2 + j % 2])));
      }
    }
}

// Any I, any alignment: the same with bytes loaded one by one.
constexpr int kSmallTile = 64;
constexpr int kSmallDepth = 32;
constexpr int kSmallPitch = kSmallDepth + 4;  // whole words, other banks

__device__ void fetch_bytes(std::int8_t* to, const std::int8_t* from, int row0, int rows,
                            int depth0, int columns) {
  for (int e = int(threadIdx.x); e < kSmallTile * kSmallDepth; e += kThreads) {
    const int row = row0 + e / kSmallDepth, depth = depth0 + e % kSmallDepth;
    const bool inside = row < rows && depth < columns;
    to[e / kSmallDepth * kSmallPitch + e % kSmallDepth] =
        inside ? from[Index(row) * columns + depth] : std::int8_t(0);
  }
}

// Block: a (64, 64) tile of y; thread: rows thread / 16 + 16 i, columns thread % 16 + 16 j of it.
// 2 N O I operations, four multiply-adds an instruction; bound by loading single bytes.
// Sums in int32: exact, so reproducible.
template <class A>
__global__ void __launch_bounds__(kThreads) ternary_product_bytes(const IntegerProduct<A> p) {
  __shared__ alignas(16) std::int8_t qs[kSmallTile * kSmallPitch];
  __shared__ alignas(16) std::int8_t ts[kSmallTile * kSmallPitch];
  const int across = (p.O + kSmallTile - 1) / kSmallTile;
  const int n0 = int(blockIdx.x) / across * kSmallTile, o0 = int(blockIdx.x) % across * kSmallTile;
  const int row = int(threadIdx.x) / 16, column = int(threadIdx.x) % 16;

  int sum[4][4] = {};
  for (int k = 0; k < p.I; k += kSmallDepth) {
    __syncthreads();
    fetch_bytes(qs, p.q, n0, p.N, k, p.I);
    fetch_bytes(ts, p.t, o0, p.O, k, p.I);
    __syncthreads();
    for (int word = 0; word < kSmallDepth; word += 4)
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          sum[i][j] =
              __dp4a(*reinterpret_cast<const int*>(qs + (row + 16 * i) * kSmallPitch + word),
                     *reinterpret_cast<const int*>(ts + (column + 16 * j) * kSmallPitch + word),
                     sum[i][j]);
  }

#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int n = n0 + row + 16 * i;
    if (n >= p.N) continue;
    const RowFactor<A> factor(p.row_scale[n], *p.scale);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int o = o0 + column + 16 * j;
      if (o < p.O) p.y[Index(n) * p.O + o] = from_float<A>(factor(float(sum[i][j])));
    }
  }
}

int tiles(Index N, Index O, Index tile) {
  return blocks_for((N + tile - 1) / tile * ((O + tile - 1) / tile), 1);
}

}  // namespace

template <class A>
void ternary_product_plain(const IntegerProduct<A>& p, cudaStream_t stream) {
  if (p.N == 0 || p.O == 0) return;
  if (p.I % kGpuCodes == 0 && aligned<16>(p.q) && aligned<16>(p.t))
    ternary_product_tensor<<<tiles(p.N, p.O, kTile), kThreads, 0, stream>>>(p);
  else
    ternary_product_bytes<<<tiles(p.N, p.O, kSmallTile), kThreads, 0, stream>>>(p);
  launched("[ternary_product_plain]");
}

template void ternary_product_plain(const IntegerProduct<float>&, cudaStream_t);
template void ternary_product_plain(const IntegerProduct<bf16>&, cudaStream_t);

}  // namespace tern::cuda
