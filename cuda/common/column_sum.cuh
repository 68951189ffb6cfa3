// Sums of the columns of an array of values, in an order that the shape fixes.
#pragma once

#include <cuda_runtime_api.h>

#include "core/kernels.h"
#include "cuda/common/device.cuh"

namespace tern::cuda {

constexpr int kColumnSumThreads = 512;

// value(row, column) is summed over rows [part * rows_a_part, ...) of each part, put(part, column,
// sum) takes the results. A block owns `width` columns, a power of two up to 32, of one part; its
// threads (x, y) add rows y, y + 512 / width, ... of column x, then halves of them in a tree. Every
// value is read once: bandwidth bounds it. f32. Reproducible: the order depends on the shape alone.
template <class Value, class Put>
__global__ void __launch_bounds__(kColumnSumThreads)
    column_sum(Index rows, Index columns, Index rows_a_part, int width, Value value,
               const __grid_constant__ Put put) {
  __shared__ float sums[kColumnSumThreads];
  const int x = int(threadIdx.x) % width, y = int(threadIdx.x) / width;
  const int height = kColumnSumThreads / width;
  const Index column = Index(blockIdx.x) * width + x, part = blockIdx.y;
  const Index end = min(rows, (part + 1) * rows_a_part);
  float sum = 0;
  if (column < columns)
#pragma unroll 8
    for (Index r = part * rows_a_part + y; r < end; r += height) sum += value(r, column);
  sums[threadIdx.x] = sum;
  for (int half = height / 2; half > 0; half /= 2) {
    __syncthreads();
    if (y < half) sums[threadIdx.x] += sums[threadIdx.x + half * width];
  }
  if (y == 0 && column < columns) put(part, column, sums[threadIdx.x]);
}

template <class Value, class Put>
void launch_column_sum(Index rows, Index columns, Index parts, Value value, Put put,
                       cudaStream_t stream) {
  int width = 32;
  while (width > 1 && width / 2 >= columns) width /= 2;
  // a sector of memory is 8 columns wide: narrower blocks, where wide ones leave the chip idle
  while (width > 8 && blocks_for(columns, width) * parts < 256) width /= 2;
  const dim3 grid(blocks_for(columns, width), unsigned(parts));
  column_sum<<<grid, kColumnSumThreads, 0, stream>>>(rows, columns, (rows + parts - 1) / parts,
                                                     width, value, put);
  launched("[column sum]");
}

// Parts as rows of an f32 array, as a value to sum, or as where sums go.
struct Parts {
  float* sums;
  Index columns;

  __device__ float operator()(Index part, Index column) const {
    return sums[part * columns + column];
  }
  __device__ void operator()(Index part, Index column, float sum) const {
    sums[part * columns + column] = sum;
  }
};

// to = sum, or to += sum
template <class A>
struct PutSum {
  A* to;
  bool add;

  __device__ void operator()(Index, Index column, float sum) const {
    to[column] = from_float<A>(add ? to_float(to[column]) + sum : sum);
  }
};

// The end of a column sum over rows: adds the partial sums of thread blocks, in an order that
// depends on their number and on D alone.
// to[k] (D) = or += sum over p of parts[p][k], parts (P, to.size(), D) f32, to[k] f32 or bf16; at
// most four, an empty one is skipped
void add_column_sums(std::span<const Grad> to, float* parts, Index P, Index D, cudaStream_t stream);

}  // namespace tern::cuda
