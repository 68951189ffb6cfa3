// Output gate of the token mixer, with its two norms and its quantiser.
#include "cuda/backend/cuda_backend.h"
#include "cuda/common/column_sum.cuh"
#include "cuda/rows/row_fp8.cuh"
#include "cuda/rows/row_layout.cuh"
#include "cuda/rows/row_walk.cuh"
#include "cuda/rows/row_writer.cuh"

namespace tern {

using namespace cuda;

namespace {

template <class A, class Writer>
struct Forward {
  Writer row;
  float* rstd;
  const A *g, *h;
  const float* g_weight;
  int D;
  float inverse_D, eps;
};

// A block owns a row, a thread its Items * V columns. Each input is read once and each output
// written once, 2 A D + D bytes with int8 rows, 3 A D with real ones (weights come from L1): bound
// by memory, closely followed by instructions. f32. Both norms and the maximum come out of one
// reduction: with e = g w silu(h), p = e r, so sum(p^2) = r^2 sum(e^2). Reproducible: fixed tree.
template <class L, class A, class Writer>
__global__ void __launch_bounds__(L::bound)
    gated_norm_quantize_forward(const Forward<A, Writer> a) {
  __shared__ float shared[3 * 32];
  const Index n = blockIdx.x, row = n * a.D;
  typename L::Row g, h, weight, e;
  load_row<L>(h, a.h + row, a.D);
  load_row<L>(g, a.g + row, a.D);
  load_row<L>(weight, a.g_weight, a.D);
  load_row<L>(e, a.row.weight, a.D);
  float total[3] = {};
  each<L>([&](int i, int v) {
    total[0] += g[i][v] * g[i][v];
    h[i][v] *= gate(h[i][v]) * g[i][v] * weight[i][v];
    total[1] += h[i][v] * h[i][v];
  });
  total[2] = weigh<L>(e, h);
  reduce_row<2>(total, shared);
  const float outer = inverse_rms(total[0], a.inverse_D, a.eps);
  const float inner = inverse_rms(outer * outer * total[1], a.inverse_D, a.eps);
  a.row.template write<L>(n, e, outer * inner, total[2], a.D);
  if (threadIdx.x == 0) {
    a.rstd[2 * n] = outer;
    a.rstd[2 * n + 1] = inner;
  }
}

template <class A, class GateGrad>
struct Backward {
  GateGrad dg;
  RowGrad<A> dh;
  const A *dy, *g, *h;
  const float *g_weight, *weight, *rstd;
  float* parts;  // (P, 2, D): of the consumer's weight, of g_weight
  Index N;
  int D;
  float inverse_D;
};

// Block p owns rows p, p + P, ..., a thread its Items * V columns and their weight gradients, in
// registers until the last row. Reads dy, g and h, writes dg and dh: 5 A D bytes a row, and D if dg
// goes in 8-bit floats too, one row ahead; one reduction a row (NormMeans). Bound by memory,
// closely followed by instructions. f32. Reproducible: P depends on shape and device alone.
template <class L, class A, class GateGrad>
__global__ void __launch_bounds__(L::bound)
    gated_norm_quantize_backward(const Backward<A, GateGrad> a) {
  __shared__ float shared[2][(2 + GateGrad::maxima) * 32], last[32];
  extern __shared__ __align__(16) char staging[];
  char* place = staging;
  const RowStream<L, A> dy(a.dy, a.D, a.D, place), g(a.g, a.D, a.D, place), h(a.h, a.D, a.D, place);
  const WeightRow<L> g_weights(a.g_weight, 0, a.D, place), weights(a.weight, 0, a.D, place);
  const ScalarStream<2> rstd(a.rstd, place);
  typename L::Row dweight = {}, dg_weight = {};
  typename GateGrad::template Waiting<L, 1> waiting;
  const auto fetch = [&](Index n, int turn) {
    dy.fetch(n, turn);
    g.fetch(n, turn);
    h.fetch(n, turn);
    rstd.fetch(n, turn);
  };
  walk_rows(a.N, fetch, [&](Index n, int turn) {
    const float outer = rstd.read(turn)[0], inner = rstd.read(turn)[1];
    typename L::Row x, value, slope, z, g_weight, weight;
    g_weights.read(g_weight);
    weights.read(weight);
    g.read(x, n, turn);
    h.read(value, n, turn);
    dy.read(z, n, turn);
    float total[2 + GateGrad::maxima] = {};
    a.dg.template ask<L, 1>(waiting, total + 2);
    const float both = outer * inner;
    each<L>([&](int i, int v) {
      const float open = gate(value[i][v]);
      x[i][v] *= both;
      value[i][v] *= open;
      slope[i][v] = silu_slope(value[i][v], open);
      const float p = x[i][v] * (value[i][v] * g_weight[i][v]);
      dweight[i][v] += z[i][v] * p;
      z[i][v] *= weight[i][v];
      total[0] += z[i][v] * p;
      total[1] += p * p;
    });
    reduce_row<2>(total, shared[turn]);
    a.dg.template leave<L, 1>(waiting, a.D, total + 2);
    const NormMeans mean(total, outer, inner, a.inverse_D);
    each<L>([&](int i, int v) {
      const float opened = value[i][v] * g_weight[i][v];
      const float e = z[i][v] - x[i][v] * opened * mean.inner_mean, by_x = e * x[i][v];
      dg_weight[i][v] += by_x * value[i][v];
      value[i][v] = by_x * g_weight[i][v] * slope[i][v];          // dh
      z[i][v] = both * (e * opened) - x[i][v] * mean.outer_mean;  // dg
    });
    a.dg.template put_row<L>(waiting, n, a.D, z);
    a.dh.template put<L>(n * a.D, value, a.D);
  });
  a.dg.template leave_last<L, 1>(waiting, a.D, last);
  float* part = a.parts + Index(blockIdx.x) * 2 * a.D;
  store_row<L>(part, dweight, a.D);
  store_row<L>(part + a.D, dg_weight, a.D);
}

template <class L, class A>
std::size_t staging_bytes(Index D) {
  return 3 * RowStream<L, A>::bytes(D) + 2 * WeightRow<L>::bytes(D) +
         ScalarStream<2>::bytes(L::threads(D));
}

template <class A, class GateGrad>
Backward<A, GateGrad> task_of(const GatedNormQuantizeBackward& a, const GateGrad& dg,
                              float* parts) {
  const Index D = a.g.shape().last();
  return {.dg = dg,
          .dh = RowGrad<A>(a.dh),
          .dy = data_or_null<A>(a.row.dy),
          .g = a.g.data<A>(),
          .h = a.h.data<A>(),
          .g_weight = a.g_weight.data<float>(),
          .weight = a.row.weight.data<float>(),
          .rstd = a.rstd.data<float>(),
          .parts = parts,
          .N = a.g.elements() / D,
          .D = int(D),
          .inverse_D = 1.0f / float(D)};
}

}  // namespace

void CudaBackend::run(const GatedNormQuantize& a) {
  const Index D = a.g.shape().last(), N = a.g.elements() / D;
  const bool fours = in_fours(D, a.g, a.h, a.g_weight, a.row.y.q, a.row.weight);
  visit_real(a.g.dtype(), [&]<class A>() {
    visit_writer<A>(a.row, [&]<class Writer>() {
      const Forward<A, Writer> task{.row = Writer(a.row),
                                    .rstd = a.rstd.data<float>(),
                                    .g = a.g.data<A>(),
                                    .h = a.h.data<A>(),
                                    .g_weight = a.g_weight.data<float>(),
                                    .D = int(D),
                                    .inverse_D = 1.0f / float(D),
                                    .eps = float(a.eps)};
      visit_layout<LongRow>("[gated_norm_quantize]", D, fours, 0, [&]<class L>() {
        launch_rows("[gated_norm_quantize]", gated_norm_quantize_forward<L, A, Writer>, task, N,
                    L::threads(D), 0, stream_);
      });
    });
  });
}

void CudaBackend::run(const GatedNormQuantizeBackward& a) {
  const Index D = a.g.shape().last(), P = column_sum_parts(a, traits_);
  const bool fours =
      in_fours(D, a.dg.to, a.dg_fp8.codes, a.dh.to, a.row.dy, a.row.weight, a.g, a.h, a.g_weight);
  const Tensor memory = workspace(a);
  float* parts = static_cast<float*>(memory.raw());
  const char* name = "[gated_norm_quantize]";
  visit_real(a.g.dtype(), [&]<class A>() {
    visit_row_grad<A>(name, a.dg, a.dg_fp8, [&]<class GateGrad>(const GateGrad& dg) {
      visit_layout<ShortRow>(name, D, fours, staging_bytes<ShortRow, A>(D), [&]<class L>() {
        launch_rows(name, gated_norm_quantize_backward<L, A, GateGrad>, task_of<A>(a, dg, parts), P,
                    L::threads(D), staging_bytes<L, A>(D), stream_);
      });
    });
  });
  const Grad to[] = {a.row.dweight, a.dg_weight};
  add_column_sums(to, parts, P, D, stream_);
}

}  // namespace tern
