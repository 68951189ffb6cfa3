// A block's walk over rows p, p + P, ...: the inputs of its next row are on their way to shared
// memory while it works on this one, and the weights stay there, so that registers are left for
// sums.
#pragma once

#include "cuda/row_stream.cuh"

namespace tern::cuda {

// A weight (D); one that is missing reads as zero. `plus` is added to it, once.
template <class L>
class WeightRow {
 public:
  static std::size_t bytes(Index D) {
    return L::staged ? sizeof(float) * (L::threads(D) / 32 * L::per_warp) : 0;
  }

  WeightRow() = default;
  __device__ WeightRow(const float* weight, float plus, int D, char*& staging)
      : weight_(weight), plus_(plus), D_(weight ? D : 0) {
    if constexpr (L::staged) {
      staged_ = reinterpret_cast<float*>(staging) + L::column(0);
      staging += sizeof(float) * (blockDim.x / 32 * L::per_warp);
      typename L::Row row;
      load(row);
#pragma unroll
      for (int i = 0; i < L::Items; ++i) pack(*word(i), row[i]);
    }
  }
  __device__ void read(typename L::Row& to) const {
    if constexpr (L::staged)
#pragma unroll
      for (int i = 0; i < L::Items; ++i) unpack(to[i], *word(i));
    else
      load(to);
  }

 private:
  __device__ void load(typename L::Row& to) const {
    load_row<L>(to, weight_, D_);
    each<L>([&](int i, int v) { to[i][v] += plus_; });
  }
  __device__ Word<float, L::V>* word(int item) const {
    return reinterpret_cast<Word<float, L::V>*>(staged_ + item * L::step);
  }

  const float* weight_ = nullptr;
  float* staged_ = nullptr;
  float plus_ = 0;
  int D_ = 0;
};

// body(n, turn) for each row of this block; fetch(n, turn) one row ahead of it
template <class Fetch, class Body>
__device__ inline void walk_rows(Index N, Fetch&& fetch, Body&& body) {
  fetch(Index(blockIdx.x), 0);  // there are no more blocks than rows
  commit_copies();
  int turn = 0;
  for (Index n = blockIdx.x; n < N; n += gridDim.x, turn ^= 1) {
    if (n + gridDim.x < N) fetch(n + gridDim.x, turn ^ 1);
    commit_copies();
    await_copies<1>();
    body(n, turn);
  }
}

}  // namespace tern::cuda
