#include "cuda/column_sums.h"
#include "cuda/row_layout.cuh"

namespace tern::cuda {
namespace {

constexpr int kSums = 4, kSlices = 32;

struct Targets {
  RowGrad<float> to[kSums];
  const float* parts;
  int P, sums, D;
};

// Block (32, 32): thread (x, y) owns column 32 * block + x of sum blockIdx.y, in parts y, y + 32,
// ... Reads P * sums * D floats, for the most part from L2, and writes sums * D: bound by latency.
// f32 sums. Reproducible: the order depends on P alone.
__global__ void __launch_bounds__(32 * kSlices) column_sums(const Targets a) {
  __shared__ float shared[kSlices][33];
  const RowGrad<float>& target = a.to[blockIdx.y];
  const int column = int(blockIdx.x) * 32 + int(threadIdx.x);
  if (!target.to) return;
  float sum = 0;
  if (column < a.D)
#pragma unroll 4
    for (int p = int(threadIdx.y); p < a.P; p += kSlices)
      sum += a.parts[(Index(p) * a.sums + blockIdx.y) * a.D + column];
  shared[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= a.D) return;
  for (int y = 1; y < kSlices; ++y) sum += shared[y][threadIdx.x];
  target.to[column] = target.add ? target.to[column] + sum : sum;
}

}  // namespace

void add_column_sums(std::span<const Grad> to, const float* parts, Index P, Index D,
                     cudaStream_t stream) {
  check(to.size() <= kSums, "[column_sums] expected at most ", kSums, " sums, got ", to.size());
  Targets a{.parts = parts, .P = int(P), .sums = int(to.size()), .D = int(D)};
  bool wanted = false;
  for (std::size_t k = 0; k < to.size(); ++k) {
    a.to[k] = RowGrad<float>(to[k]);
    wanted = wanted || to[k];
  }
  if (!wanted) return;
  column_sums<<<dim3(blocks_for(D, 32), unsigned(to.size())), dim3(32, kSlices), 0, stream>>>(a);
  launched("[column_sums]");
}

}  // namespace tern::cuda
