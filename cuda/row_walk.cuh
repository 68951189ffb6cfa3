// A block's walk over rows p, p + P, ...: the inputs of its next row are on their way to shared
// memory while it works on this one, so that little state in registers keeps memory busy.
#pragma once

#include <cuda_pipeline.h>

#include "cuda/row_layout.cuh"

namespace tern::cuda {

// One input matrix of a walk. A thread copies the pieces that it alone will read: no barrier guards
// them. Layouts that do not stage read device memory instead.
template <class L, class T>
class RowStream {
 public:
  // bytes of shared memory for two rows of D columns
  static constexpr std::size_t bytes(Index D) {
    return L::staged ? 2 * std::size_t(D) * sizeof(T) : 0;
  }

  RowStream() = default;
  // rows (N, D), each `stride` elements from the last, or null; takes its share off `staging`
  __device__ RowStream(const T* rows, Index stride, int D, char*& staging)
      : rows_(rows), staged_(reinterpret_cast<T*>(staging)), stride_(stride), D_(D) {
    staging += bytes(D);
  }
  __device__ explicit operator bool() const { return rows_ != nullptr; }

  // turn: 0 and 1 by turns
  __device__ void fetch(Index n, int turn) const {
    if constexpr (L::staged) {
      if (!rows_) return;
      each_piece<L>(D_, [&](int, int column) {
        __pipeline_memcpy_async(staged_ + turn * D_ + column, rows_ + n * stride_ + column,
                                L::V * sizeof(T));
      });
    }
  }
  __device__ void read(typename L::Row& to, Index n, int turn) const {
    if constexpr (L::staged)
      load_row<L>(to, staged_ + turn * D_, D_);
    else
      load_row<L>(to, rows_ + n * stride_, D_);
  }

 private:
  const T* rows_ = nullptr;
  T* staged_ = nullptr;
  Index stride_ = 0;
  int D_ = 0;
};

// For each row of this block, body(n, turn, what fetch returned for it); fetch(n, turn) comes one
// row ahead.
template <class Fetch, class Body>
__device__ inline void walk_rows(Index N, Fetch&& fetch, Body&& body) {
  auto ahead = fetch(Index(blockIdx.x), 0);  // there are no more blocks than rows
  __pipeline_commit();
  int turn = 0;
  for (Index n = blockIdx.x; n < N; n += gridDim.x, turn ^= 1) {
    const auto now = ahead;
    if (n + gridDim.x < N) ahead = fetch(n + gridDim.x, turn ^ 1);
    __pipeline_commit();
    __pipeline_wait_prior(1);
    body(n, turn, now);
  }
}

}  // namespace tern::cuda
