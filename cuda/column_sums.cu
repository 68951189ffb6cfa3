#include "cuda/column_sums.h"
#include "cuda/dispatch.h"

namespace tern::cuda {
namespace {

constexpr int kSums = 4, kSlices = 32;

struct Targets {
  float* to[kSums]{};
  bool add[kSums]{};
  const float* parts;
  int P, sums, D;
};

// Block (32, 32): thread (x, y) owns column 32 * block + x of sum blockIdx.y, in parts y, y + 32,
// ... Reads P * sums * D floats, for the most part from L2, and writes sums * D: bound by latency.
// f32 sums. Reproducible: the order depends on P alone.
__global__ void __launch_bounds__(32 * kSlices) column_sums(const __grid_constant__ Targets a) {
  __shared__ float shared[kSlices][33];
  float* to = a.to[blockIdx.y];
  const int column = int(blockIdx.x) * 32 + int(threadIdx.x);
  if (!to) return;
  float sum = 0;
  if (column < a.D)
#pragma unroll 4
    for (int p = int(threadIdx.y); p < a.P; p += kSlices)
      sum += a.parts[(Index(p) * a.sums + blockIdx.y) * a.D + column];
  shared[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= a.D) return;
  for (int y = 1; y < kSlices; ++y) sum += shared[y][threadIdx.x];
  to[column] = a.add[blockIdx.y] ? to[column] + sum : sum;
}

}  // namespace

void add_column_sums(std::span<const Grad> to, const float* parts, Index P, Index D,
                     cudaStream_t stream) {
  check(to.size() <= kSums, "[column_sums] expected at most ", kSums, " sums, got ", to.size());
  Targets a{.parts = parts, .P = int(P), .sums = int(to.size()), .D = int(D)};
  bool wanted = false;
  for (std::size_t k = 0; k < to.size(); ++k) {
    a.to[k] = data_or_null<float>(to[k].to);
    a.add[k] = to[k].add;
    wanted = wanted || to[k];
  }
  if (!wanted) return;
  column_sums<<<dim3(blocks_for(D, 32), unsigned(to.size())), dim3(32, kSlices), 0, stream>>>(a);
  launched("[column_sums]");
}

}  // namespace tern::cuda
