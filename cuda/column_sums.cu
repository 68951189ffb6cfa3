#include "cuda/column_sum.cuh"
#include "cuda/column_sums.h"

namespace tern::cuda {
namespace {

constexpr int kSums = 4;

// Where the columns of all sums, side by side, go: to[k] = or +=
struct PutSums {
  float* to[kSums]{};
  bool add[kSums]{};
  Index D = 0;

  __device__ void operator()(Index, Index column, float sum) const {
    const Index k = column / D, d = column - k * D;
    if (to[k]) to[k][d] = add[k] ? to[k][d] + sum : sum;
  }
};

}  // namespace

void add_column_sums(std::span<const Grad> to, float* parts, Index P, Index D,
                     cudaStream_t stream) {
  check(to.size() <= kSums, "[column_sums] expected at most ", kSums, " sums, got ", to.size());
  PutSums put{.D = D};
  bool wanted = false;
  for (std::size_t k = 0; k < to.size(); ++k) {
    put.to[k] = data_or_null<float>(to[k].to);
    put.add[k] = to[k].add;
    wanted = wanted || to[k];
  }
  const Index columns = Index(to.size()) * D;
  if (wanted) launch_column_sum(P, columns, 1, Parts{parts, columns}, put, stream);
}

}  // namespace tern::cuda
