#include "cuda/common/column_sum.cuh"

namespace tern::cuda {
namespace {

constexpr int kSums = 4;

// Where the columns of all sums, side by side, go: to[k] = or +=, f32 or bf16
struct PutSums {
  void* to[kSums]{};
  bool add[kSums]{}, half[kSums]{};
  Index D = 0;

  __device__ void operator()(Index part, Index column, float sum) const {
    const Index k = column / D, d = column - k * D;
    if (!to[k]) return;
    if (half[k])
      PutSum<bf16>{static_cast<bf16*>(to[k]), add[k]}(part, d, sum);
    else
      PutSum<float>{static_cast<float*>(to[k]), add[k]}(part, d, sum);
  }
};

}  // namespace

void add_column_sums(std::span<const Grad> to, float* parts, Index P, Index D,
                     cudaStream_t stream) {
  check(to.size() <= kSums, "[column_sums] expected at most ", kSums, " sums, got ", to.size());
  PutSums put{.D = D};
  bool wanted = false;
  for (std::size_t k = 0; k < to.size(); ++k) {
    if (!to[k]) continue;
    put.half[k] = to[k].to.dtype() == DType::bf16;
    put.to[k] = put.half[k] ? static_cast<void*>(to[k].to.data<bf16>()) : to[k].to.data<float>();
    put.add[k] = to[k].add;
    wanted = true;
  }
  const Index columns = Index(to.size()) * D;
  if (wanted) launch_column_sum(P, columns, 1, Parts{parts, columns}, put, stream);
}

}  // namespace tern::cuda
