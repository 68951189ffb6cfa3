#include "cuda/backend/cuda_backend.h"
#include "cuda/common/column_sum.cuh"
#include "cuda/rows/row_layout.cuh"
#include "cuda/rows/row_walk.cuh"

namespace tern {

using namespace cuda;

namespace {

template <class R>
struct Forward {
  R* y;
  float* rstd;
  const R* x;
  const float* w;
  int D;
  float inverse_D, eps;
};

// A block owns a row, a thread its Items * V columns. Reads x and writes y once, 2 R D bytes (w
// comes from L1): bound by memory. f32. Reproducible: fixed tree.
template <class L, class R>
__global__ void __launch_bounds__(L::bound) rms_norm_forward(const Forward<R> a) {
  __shared__ float shared[32];
  const Index n = blockIdx.x, row = n * a.D;
  typename L::Row x, w;
  load_row<L>(x, a.x + row, a.D);
  load_row<L>(w, a.w, a.D);
  float total[1] = {};
  each<L>([&](int i, int v) { total[0] += x[i][v] * x[i][v]; });
  reduce_row<1>(total, shared);
  const float rstd = inverse_rms(total[0], a.inverse_D, a.eps);
  each<L>([&](int i, int v) { x[i][v] *= rstd * w[i][v]; });
  store_row<L>(a.y + row, x, a.D);
  if (threadIdx.x == 0) a.rstd[n] = rstd;
}

template <class R>
struct Backward {
  RowGrad<R> dx;
  const R *dy, *x;
  const float *w, *rstd;
  float* parts;  // (P, D)
  Index N;
  int D;
  float inverse_D;
};

// Block p owns rows p, p + P, ..., a thread its Items * V columns and their part of dw, in
// registers until the last row. Reads dy and x, writes dx: 3 R D bytes a row, bound by memory, one
// row ahead. f32. Reproducible: P depends on shape and device alone.
template <class L, class R>
__global__ void __launch_bounds__(L::bound) rms_norm_backward(const Backward<R> a) {
  __shared__ float shared[2][32];
  extern __shared__ __align__(16) char staging[];
  char* place = staging;
  const RowStream<L, R> dy(a.dy, a.D, a.D, place), rows(a.x, a.D, a.D, place);
  const WeightRow<L> weights(a.w, 0, a.D, place);
  const ScalarStream<1> rstd(a.rstd, place);
  typename L::Row dw = {};
  const auto fetch = [&](Index n, int turn) {
    dy.fetch(n, turn);
    rows.fetch(n, turn);
    rstd.fetch(n, turn);
  };
  walk_rows(a.N, fetch, [&](Index n, int turn) {
    const float r = rstd.read(turn)[0];
    typename L::Row x, z, w;
    weights.read(w);
    rows.read(x, n, turn);
    dy.read(z, n, turn);
    float total[1] = {};
    each<L>([&](int i, int v) {
      dw[i][v] += z[i][v] * x[i][v] * r;
      z[i][v] *= w[i][v];
      total[0] += z[i][v] * x[i][v];
    });
    reduce_row<1>(total, shared[turn]);
    const float mean = total[0] * a.inverse_D * r * r;
    each<L>([&](int i, int v) { z[i][v] = r * (z[i][v] - x[i][v] * mean); });
    a.dx.template put<L>(n * a.D, z, a.D);
  });
  store_row<L>(a.parts + Index(blockIdx.x) * a.D, dw, a.D);
}

template <class L, class R>
std::size_t staging_bytes(Index D) {
  return 2 * RowStream<L, R>::bytes(D) + WeightRow<L>::bytes(D) +
         ScalarStream<1>::bytes(L::threads(D));
}

}  // namespace

void CudaBackend::run(const RmsNorm& a) {
  const Index D = a.x.shape().last(), N = a.x.elements() / D;
  visit_real(a.x.dtype(), [&]<class R>() {
    const Forward<R> task{.y = a.y.data<R>(),
                          .rstd = a.rstd.data<float>(),
                          .x = a.x.data<R>(),
                          .w = a.w.data<float>(),
                          .D = int(D),
                          .inverse_D = 1.0f / float(D),
                          .eps = float(a.eps)};
    visit_layout<LongRow>("[rms_norm]", D, in_fours(D, a.y, a.x, a.w), 0, [&]<class L>() {
      launch_rows("[rms_norm]", rms_norm_forward<L, R>, task, N, L::threads(D), 0, stream_);
    });
  });
}

void CudaBackend::run(const RmsNormBackward& a) {
  const Index D = a.x.shape().last(), N = a.x.elements() / D;
  const Index P = column_sum_parts(a, traits_);
  const bool fours = in_fours(D, a.dx.to, a.dy, a.x, a.w);
  const Tensor memory = workspace(a);
  float* parts = static_cast<float*>(memory.raw());
  visit_real(a.x.dtype(), [&]<class R>() {
    const Backward<R> task{.dx = RowGrad<R>(a.dx),
                           .dy = a.dy.data<R>(),
                           .x = a.x.data<R>(),
                           .w = a.w.data<float>(),
                           .rstd = a.rstd.data<float>(),
                           .parts = parts,
                           .N = N,
                           .D = int(D),
                           .inverse_D = 1.0f / float(D)};
    visit_layout<ShortRow>("[rms_norm]", D, fours, staging_bytes<ShortRow, R>(D), [&]<class L>() {
      launch_rows("[rms_norm]", rms_norm_backward<L, R>, task, P, L::threads(D),
                  staging_bytes<L, R>(D), stream_);
    });
  });
  const Grad to[] = {a.dw};
  add_column_sums(to, parts, P, D, stream_);
}

}  // namespace tern
