// A block's walk over rows p, p + P, ...: the inputs of its next row are on their way to shared
// memory while it works on this one, and the weights stay there, so that registers are left for
// sums.
#pragma once

#include "cuda/common/gates.cuh"
#include "cuda/common/vectors.cuh"
#include "cuda/rows/row_layout.cuh"

namespace tern::cuda {

// What the fused quantisers and their gradients compute of a row in registers.

// 1 / sqrt(mean + eps), to 2 ulp
__device__ inline float inverse_rms(float sum_of_squares, float inverse_D, float eps) {
  return rsqrtf(sum_of_squares * inverse_D + eps);
}

// e, a consumer's weight, becomes u * weight; returns this thread's largest |e|
template <class L>
__device__ inline float weigh(typename L::Row& e, const typename L::Row& u) {
  float top = 0;
  each<L>([&](int i, int v) {
    e[i][v] *= u[i][v];
    top = larger(top, fabsf(e[i][v]));
  });
  return top;
}

// A row p with rstd r leaves the norm as p * r * weight; z is the gradient of p * r. The gradient
// of p is r * e, e = z - p * r^2 * sum(z p) / D.
//
// If p itself is x * g, x = s * outer a normalised row, the gradient of s needs the sum of dp * p
// as well, which follows from sums that are at hand before dp is: one reduction serves both norms.
// Where x is multiplied by r at once, and p with it, e needs no other factor, nor does e * x, which
// is dp times the x that was not.
struct NormMeans {
  // sums: of z * p, of p * p, p times r
  __device__ NormMeans(const float* sums, float outer, float r, float inverse_D)
      : inner_mean(sums[0] * inverse_D),
        outer_mean(outer * approximate_reciprocal(r) * (sums[0] - inner_mean * sums[1]) *
                   inverse_D) {}
  float inner_mean;  // e = z - p * inner_mean
  float outer_mean;  // ds = outer * dx - x * outer_mean, dx = r * e * g
};

// r / (1 + exp(-x)), given `back` = 1 / r, to |x| + 5 ulp, in four instructions: these kernels run
// out of them before they run out of memory's bandwidth. Where the reciprocal flushes to zero,
// below x = -87, so do its products.
__device__ inline float gate(float x, float back = 1.0f) {
  const float power = approximate_exp2(-kLog2E * x);
  return approximate_reciprocal(fmaf(power, back, back));
}
// the derivative of silu(x) = x * gate(x), times r as they are
__device__ inline float silu_slope(float silu, float gate, float back = 1.0f) {
  return fmaf(silu, fmaf(-gate, back, 1.0f), gate);
}

// One input matrix of a walk; one that is missing reads as zero. Layouts that do not stage read
// device memory instead.
template <class L, class T>
class RowStream {
 public:
  // bytes of shared memory for two rows of D columns
  static std::size_t bytes(Index D) {
    return L::staged ? 2 * sizeof(T) * (L::threads(D) / 32 * L::per_warp) : 0;
  }

  RowStream() = default;
  // rows (N, D), each `stride` elements from the last, or null; takes its share off `staging`
  __device__ RowStream(const T* rows, Index stride, int D, char*& staging)
      : rows_(rows), stride_(stride), D_(rows ? D : 0) {
    if constexpr (L::staged) {
      staged_ = reinterpret_cast<T*>(staging) + L::column(0);
      staging += 2 * sizeof(T) * pitch();
#pragma unroll
      for (int i = 0; i < 2 * L::Items; ++i)
        if (L::column(i % L::Items) >= D_) *word(i / L::Items, i % L::Items) = {};
    }
  }

  // turn: 0 and 1 by turns
  __device__ void fetch(Index n, int turn) const {
    if constexpr (L::staged) {
      const T* piece = rows_ + n * stride_ + L::column(0);
#pragma unroll
      for (int i = 0; i < L::Items; ++i)
        copy_async_if<sizeof(T) * L::V>(L::column(i) < D_, word(turn, i), piece + i * L::step);
    }
  }
  __device__ void read(typename L::Row& to, Index n, int turn) const {
    if constexpr (L::staged)
#pragma unroll
      for (int i = 0; i < L::Items; ++i) unpack(to[i], *word(turn, i));
    else
      load_row<L>(to, rows_ + n * stride_, D_);
  }

 private:
  __device__ static int pitch() {
    return int(blockDim.x) / 32 * L::per_warp;
  }
  __device__ Word<T, L::V>* word(int turn, int item) const {
    return reinterpret_cast<Word<T, L::V>*>(staged_ + turn * pitch() + item * L::step);
  }

  const T* rows_ = nullptr;
  T* staged_ = nullptr;
  Index stride_ = 0;
  int D_ = 0;
};

// The numbers of a row, K of them, that every thread needs: each copies them for itself. A load
// into a register would be waited for at once, as ptxas moves what all threads share to uniform
// registers.
template <int K>
class ScalarStream {
 public:
  static std::size_t bytes(int threads) { return 2 * sizeof(float) * K * threads; }

  // values (N, K)
  __device__ ScalarStream(const float* values, char*& staging)
      : values_(values), staged_(reinterpret_cast<float*>(staging) + threadIdx.x * K) {
    staging += 2 * sizeof(float) * K * blockDim.x;
  }
  __device__ void fetch(Index n, int turn) const {
    copy_async_if<sizeof(float) * K>(true, staged_ + turn * int(blockDim.x) * K, values_ + n * K);
  }
  __device__ const float* read(int turn) const { return staged_ + turn * int(blockDim.x) * K; }

 private:
  const float* values_;
  float* staged_;
};

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
