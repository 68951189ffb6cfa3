#include <cuda.h>
#include <cudaTypedefs.h>

#include "cuda/common/check.h"
#include "cuda/products/hopper.cuh"
#include "cuda/products/ternary_product.cuh"

namespace tern::cuda {
namespace {

// The driver is never linked: a program that links it does not start where there is none.
PFN_cuTensorMapEncodeTiled_v12000 driver_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  cuda_check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                              cudaEnableDefault, &found),
             "[tensor_map] cuTensorMapEncodeTiled");
  check(found == cudaDriverEntryPointSuccess && function,
        "[tensor_map] expected a driver with cuTensorMapEncodeTiled, got query result ",
        int(found));
  return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
}

// A contiguous tensor of bytes, dimensions innermost first; a copy moves a box of it into shared
// memory, boxes' rows of 128 bytes permuted as the tensor cores read them (128-byte swizzle). What
// lies outside reads as zero. dims[0] is a multiple of 16, box[0] is 128.
// Error(Fault::internal): the driver has no such function or refuses the tensor
template <int rank>
CUtensorMap int8_tensor_map(const std::int8_t* data, const std::array<std::uint64_t, rank>& dims,
                            const std::array<std::uint32_t, rank>& box) {
  static const PFN_cuTensorMapEncodeTiled_v12000 encode = driver_encode();
  std::array<std::uint64_t, rank - 1> strides;  // bytes
  for (int i = 0; i < rank - 1; ++i) strides[i] = dims[i] * (i ? strides[i - 1] : 1);
  std::array<std::uint32_t, rank> every_element;
  every_element.fill(1);
  CUtensorMap map{};
  const CUresult result =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, rank, const_cast<std::int8_t*>(data), dims.data(),
             strides.data(), box.data(), every_element.data(), CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  check(result == CUDA_SUCCESS, "[tensor_map] (", dims[rank - 1], " x ", dims[0], ") at ",
        static_cast<const void*>(data), ": driver error ", int(result));
  return map;
}

using namespace hopper;

constexpr int kRows = 128;     // of a block's tile of y, 64 for each of two consumer warpgroups
constexpr int kColumns = 256;  // of the tile, in two halves that finish one after the other
constexpr int kHalf = kColumns / 2;
constexpr int kDepth = 128;  // codes of the inner dimension in a stage: one swizzled row
constexpr int kStep = 32;    // of them in one instruction
constexpr unsigned kStages = 4;
constexpr int kWarpgroup = 128;
constexpr int kThreads = 3 * kWarpgroup;
constexpr unsigned kConsumerWarps = 8;
constexpr unsigned kGroupedRows = 8;  // tiles that find columns of t in the L2 cache together

constexpr unsigned kStageBytes = (kRows + kColumns) * kDepth;
constexpr unsigned kAtom = 1024;  // where a swizzle pattern starts
constexpr unsigned kSharedBytes = kStages * kStageBytes + 2 * kStages * 8 + kAtom;

// Stages in shared memory, used in turn, with a barrier for "full" and one for "empty". i counts
// the stages since the start.
struct Ring {
  __device__ Address q(unsigned i) const { return base + i % kStages * kStageBytes; }
  __device__ Address t(unsigned i) const { return q(i) + kRows * kDepth; }
  __device__ Address full(unsigned i) const {
    return base + kStages * kStageBytes + i % kStages * 8;
  }
  __device__ Address empty(unsigned i) const { return full(i) + kStages * 8; }
  __device__ static unsigned parity(unsigned i) { return i / kStages % 2; }
  Address base;
};

// The tiles of y in the order in which clusters take them: a cluster's blocks lie below one
// another.
template <int kCluster>
struct Tiles {
  struct Origin {
    int row, column;
  };
  __device__ Tiles(int N, int O)
      : down((unsigned(N) + kCluster * kRows - 1) / (kCluster * kRows)),
        across((unsigned(O) + kColumns - 1) / kColumns) {}
  __device__ unsigned first() const { return blockIdx.x / kCluster; }
  __device__ unsigned step() const { return gridDim.x / kCluster; }
  __device__ unsigned count() const { return down * across; }
  __device__ unsigned own_count() const { return (count() - first() + step() - 1) / step(); }
  __device__ Origin at(unsigned tile) const {
    const unsigned group = tile / (kGroupedRows * across), above = group * kGroupedRows;
    const unsigned rows = min(kGroupedRows, down - above), rest = tile - above * across;
    const unsigned right = rest / rows, below = rest - right * rows;
    return {int(((above + below) * kCluster + block_in_cluster()) * kRows), int(right * kColumns)};
  }
  unsigned down, across;
};

// One thread keeps the ring full. Rows of t are laid out so that a thread's sums are neighbours in
// y: of every 8 rows the first two come first, for 128 rows, then the next two. Each block of a
// cluster loads its part of the half tiles of t for all.
template <int kCluster>
__device__ void produce(const Ring& ring, const CUtensorMap& q, const CUtensorMap& t,
                        const Tiles<kCluster> tiles, int stages) {
  constexpr int kPairBytes = kHalf / 4 * kDepth;
  unsigned i = 0;
  for (unsigned tile = tiles.first(); tile < tiles.count(); tile += tiles.step()) {
    const auto [row, column] = tiles.at(tile);
    for (int k = 0; k < stages; ++k, ++i) {
      const Address full = ring.full(i);
      wait_barrier(ring.empty(i), Ring::parity(i) ^ 1);
      arrive_and_expect(full, kStageBytes);
      copy_box(ring.q(i), q, k * kDepth, row, full);
      for (int part = 0; part < 8 / kCluster; ++part) {
        const int half = kCluster == 1 ? part / 4 : int(block_in_cluster()), pair = part % 4;
        const Address to = ring.t(i) + half * kHalf * kDepth + pair * kPairBytes;
        const int eighth = (column + half * kHalf) / 8;
        if constexpr (kCluster == 1)
          copy_box(to, t, k * kDepth, 2 * pair, eighth, full);
        else
          copy_box_to_blocks(to, t, k * kDepth, 2 * pair, eighth, full, (1 << kCluster) - 1);
      }
    }
  }
}

// Where a thread's sums of a tile go: two rows of y, eight apart, 8 neighbours of every 32 columns.
template <class A>
struct Target {
  Target() = default;
  __device__ Target(const IntegerProduct<A>& p, int row, int column)
      : first(p.y + Index(row) * p.O + column), rows(p.N - row), columns(p.O - column) {
#pragma unroll
    for (int r = 0; r < 2; ++r) row_scale[r] = 8 * r < rows ? p.row_scale[row + 8 * r] : 1.0f;
  }
  A* first = nullptr;
  int rows = 0, columns = 0;  // of y from `first` on
  float row_scale[2] = {};
};

// An integer of at most 2^22 as a float, without the slow conversion: the float 1.5 * 2^23 counts
// in ones.
__device__ float small_float(int i) {
  constexpr int kBits = 0x4b400000;
  return __fsub_rn(__int_as_float(kBits + i), 12582912.0f);
}

// 16 bytes in one instruction: left to itself the compiler takes some of these apart.
__device__ void store_vector(void* to, unsigned a, unsigned b, unsigned c, unsigned d) {
  asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(a), "r"(b), "r"(c), "r"(d)
               : "memory");
}
__device__ void store_eight(float* to, const float (&y)[8]) {
  const auto word = [&](int e) { return __float_as_uint(y[e]); };
  store_vector(to, word(0), word(1), word(2), word(3));
  store_vector(to + 4, word(4), word(5), word(6), word(7));
}
__device__ void store_eight(bf16* to, const float (&y)[8]) {
  const auto pair = [&](int e) {
    const __nv_bfloat162 two = __floats2bfloat162_rn(y[e], y[e + 1]);
    return reinterpret_cast<const unsigned&>(two);
  };
  store_vector(to, pair(0), pair(2), pair(4), pair(6));
}

template <class A>
__device__ void store_half(int (&sum)[64], const Target<A>& to, int half, Index O, float scale) {
  settle(sum);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    if (8 * r >= to.rows) return;
    const RowFactor<A> factor(to.row_scale[r], scale);
#pragma unroll
    for (int g = 0; g < 4; ++g) {
      float y[8];
#pragma unroll
      for (int e = 0; e < 8; ++e)
        y[e] = factor(small_float(sum[16 * (e / 2) + 4 * g + 2 * r + e % 2]));
      const int column = half * kHalf + 32 * g;
      if (column < to.columns) store_eight(to.first + 8 * r * O + column, y);
    }
  }
}

// One stage's products for one half of the tile.
__device__ void multiply_half(int (&sum)[64], std::uint64_t q, std::uint64_t t, bool add) {
#pragma unroll
  for (int k = 0; k < kDepth; k += kStep) multiply(sum, q + k / 16, t + k / 16, add || k > 0);
  end_group();
}

// A warpgroup's 64 rows of every tile. The two halves of the columns have accumulators of their
// own: while one is scaled and stored, the products of the other, or of the next tile, keep the
// tensor cores busy.
template <class A, int kCluster>
__device__ void consume(const Ring& ring, const IntegerProduct<A>& p, const Tiles<kCluster> tiles,
                        int stages) {
  const int thread = int(threadIdx.x) - kWarpgroup, lane = thread % 32;
  const int row = thread / 32 * 16 + lane / 4, column = lane % 4 * 8;
  const Address own_rows = thread / kWarpgroup * (kRows / 2) * kDepth;
  const Index O = p.O;
  const float scale = *p.scale;
  const auto q = [&](unsigned i) { return matrix(ring.q(i) + own_rows); };
  const auto t = [&](unsigned i, int half) { return matrix(ring.t(i) + half * kHalf * kDepth); };
  // Every warp tells every block of the cluster, whose copies fill this block's stages too. Not of
  // stages that nobody fills again: nobody would wait for such an arrival, and it could reach a
  // block that has ended.
  const unsigned all = tiles.own_count() * unsigned(stages);
  const auto release = [&](unsigned i) {
    if (lane < kCluster && i + kStages < all) arrive_at_block(ring.empty(i), lane);
  };

  int left[64] = {}, right[64] = {};
  Target<A> to;
  unsigned i = 0;
  for (unsigned tile = tiles.first(); tile < tiles.count(); tile += tiles.step()) {
    wait_barrier(ring.full(i), Ring::parity(i));
    begin_products();
    multiply_half(left, q(i), t(i, 0), false);
    wait_groups<1>();                    // true already, but the assembler must see it
    store_half(right, to, 1, O, scale);  // of the tile before
    begin_products();
    multiply_half(right, q(i), t(i, 1), false);
    const auto place = tiles.at(tile);
    to = Target<A>(p, place.row + row, place.column + column);
    ++i;
    for (int k = 1; k < stages; ++k, ++i) {
      wait_barrier(ring.full(i), Ring::parity(i));
      begin_products();
      multiply_half(left, q(i), t(i, 0), true);
      multiply_half(right, q(i), t(i, 1), true);
      wait_groups<2>();  // those of the stage before are over
      release(i - 1);
    }
    wait_groups<1>();  // only the right half's last products are still running
    store_half(left, to, 0, O, scale);
    wait_groups<0>();
    release(i - 1);
  }
  store_half(right, to, 1, O, scale);
}

// Cluster of blocks: 128 rows each of the same 256 columns, which the blocks load for one another.
// Block: one warpgroup copies stages of q and t to shared memory, two own 64 rows each of the tile;
// thread: 2 rows, 8 neighbours of every 32 columns. Blocks stay and take tile after tile.
// 2 N O I operations on int8 tensor cores, which bound it, next to (128 + 256 / cluster) I bytes
// from the L2 cache a tile. Sums in int32: exact, so reproducible.
template <class A, int kCluster>
__global__ void __launch_bounds__(kThreads, 1)
    ternary_product_warpgroups(const __grid_constant__ CUtensorMap q_map,
                               const __grid_constant__ CUtensorMap t_map,
                               const __grid_constant__ IntegerProduct<A> p) {
  extern __shared__ std::int8_t shared[];
  const Ring ring{(shared_address(shared) + kAtom - 1) / kAtom * kAtom};
  const Tiles<kCluster> tiles(p.N, p.O);
  const int stages = (p.I + kDepth - 1) / kDepth;
  if (threadIdx.x == 0) {
    prefetch_map(q_map);
    prefetch_map(t_map);
    for (unsigned i = 0; i < kStages; ++i) {
      init_barrier(ring.full(i), 1);
      init_barrier(ring.empty(i), kConsumerWarps * kCluster);
    }
    publish_barriers();
  }
  __syncthreads();
  synchronize_cluster();
  if (threadIdx.x < kWarpgroup) {
    give_registers<40>();
    if (threadIdx.x == 0) produce(ring, q_map, t_map, tiles, stages);
    __syncwarp();
  } else {
    take_registers<232>();
    consume(ring, p, tiles, stages);
  }
  synchronize_cluster();  // copies of this block may still fill a stage of the other one
}

template <class A, int kCluster>
void launch(const IntegerProduct<A>& p, int multiprocessors, cudaStream_t stream) {
  const std::uint64_t N = p.N, O = p.O, I = p.I;
  const CUtensorMap q = int8_tensor_map<2>(p.q, {I, N}, {kDepth, kRows});
  const CUtensorMap t = int8_tensor_map<3>(p.t, {I, 8, O / 8}, {kDepth, 2, kHalf / 8});
  const auto kernel = ternary_product_warpgroups<A, kCluster>;
  cuda_check(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(kSharedBytes)),
      "[ternary_product_hopper] shared memory");
  const Index tiles = (Index(p.N) + kCluster * kRows - 1) / (kCluster * kRows) *
                      ((Index(p.O) + kColumns - 1) / kColumns);
  check(tiles < (Index(1) << 31) - 1024, "[ternary_product_hopper] expected < 2^31 tiles, got ",
        tiles);
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim = {kCluster, 1, 1};
  const Index clusters = std::min(tiles, std::max<Index>(1, multiprocessors / kCluster));
  const cudaLaunchConfig_t config{.gridDim = dim3(unsigned(clusters * kCluster)),
                                  .blockDim = dim3(kThreads),
                                  .dynamicSmemBytes = kSharedBytes,
                                  .stream = stream,
                                  .attrs = &cluster,
                                  .numAttrs = 1};
  cuda_check(cudaLaunchKernelEx(&config, kernel, q, t, p), "[ternary_product_hopper]");
}

}  // namespace

template <class A>
void ternary_product_hopper(const IntegerProduct<A>& p, int multiprocessors, cudaStream_t stream,
                            int cluster) {
  check(hopper_product_fits(p) && (cluster == 1 || cluster == 2),
        "[ternary_product_hopper] expected a product that fits, got N ", p.N, ", O ", p.O, ", I ",
        p.I, ", cluster ", cluster);
  if (p.N == 0 || p.O == 0) return;
  if (cluster == 2 && p.N > kRows)
    launch<A, 2>(p, multiprocessors, stream);
  else
    launch<A, 1>(p, multiprocessors, stream);
}

template void ternary_product_hopper(const IntegerProduct<float>&, int, cudaStream_t, int);
template void ternary_product_hopper(const IntegerProduct<bf16>&, int, cudaStream_t, int);

}  // namespace tern::cuda
