// GLU of the channel mixer, with its norm and its quantiser.
#include "cuda/backend/cuda_backend.h"
#include "cuda/common/column_sum.cuh"
#include "cuda/rows/row_fp8.cuh"
#include "cuda/rows/row_layout.cuh"
#include "cuda/rows/row_walk.cuh"
#include "cuda/rows/row_writer.cuh"

namespace tern {

using namespace cuda;

namespace {

// Rows of a and b, each `stride` elements from the last: side by side in one tensor, or in two.
template <class A>
struct GluRows {
  GluRows(const Tensor& a, const Tensor& b)
      : left(a.data<A>()),
        right(b ? b.data<A>() : left + a.shape().last() / 2),
        stride(a.shape().last()) {}
  const A *left, *right;
  Index stride;
};

// H, and the number of rows
struct GluSize {
  GluSize(const Tensor& a, const Tensor& b)
      : H(a.shape().last() / (b ? 1 : 2)), N(a.elements() / a.shape().last()) {}
  Index H, N;
};

template <class A, class Writer>
struct Forward {
  Writer row;
  float* rstd;
  GluRows<A> in;
  int H;
  float inverse_H, eps;
};

// A block owns a row, a thread its Items * V columns of a and of b. Each input is read once and
// each output written once, 2 A H + H bytes with int8 rows, 3 A H with real ones (the weight comes
// from L1): bound by memory, closely followed by instructions. f32; the sum and the maximum in one
// reduction. Reproducible: fixed tree.
template <class L, class A, class Writer>
__global__ void __launch_bounds__(L::bound)
    swiglu_norm_quantize_forward(const Forward<A, Writer> a) {
  __shared__ float shared[2 * 32];
  const Index n = blockIdx.x;
  typename L::Row p, right, e;
  load_row<L>(p, a.in.left + n * a.in.stride, a.H);
  load_row<L>(right, a.in.right + n * a.in.stride, a.H);
  load_row<L>(e, a.row.weight, a.H);
  float total[2] = {};
  each<L>([&](int i, int v) {
    p[i][v] *= gate(p[i][v]) * right[i][v];
    total[0] += p[i][v] * p[i][v];
  });
  total[1] = weigh<L>(e, p);
  reduce_row<1>(total, shared);
  const float rstd = inverse_rms(total[0], a.inverse_H, a.eps);
  a.row.template write<L>(n, e, rstd, total[1], a.H);
  if (threadIdx.x == 0) a.rstd[n] = rstd;
}

// The gradients of a and b, where these are two tensors, in the place of the one of both.
template <class A>
struct TwoRowGrads : PromptRows {
  template <class L>
  __device__ void put_row(Waiting<L, 2>&, Index n, int H, const typename L::Row& da,
                          const typename L::Row& db) const {
    a.template put<L>(n * H, da, H);
    b.template put<L>(n * H, db, H);
  }
  RowGrad<A> a, b;
};

template <class A, class AbGrad>
struct Backward {
  AbGrad dab;
  const A* dy;
  GluRows<A> in;
  const float *weight, *rstd;
  float* parts;  // (P, H)
  Index N;
  int H;
  float inverse_H;
};

// Block q owns rows q, q + P, ..., a thread its Items * V columns of a and of b and their weight
// gradients, in registers until the last row; gates and what is made of them are times r = rstd,
// which saves multiplications. Reads dy and ab, writes dab: 5 A H bytes a row, and 2 H if in 8-bit
// floats too, 3 A H + 2 H if in these alone, one row ahead; one reduction a row. Bound by memory,
// closely followed by instructions. f32. Reproducible: P depends on shape and device alone. The
// bound means 80 registers, so that two blocks of 352 threads (H = 5632) fit.
template <class L, class A, class AbGrad>
__global__ void __launch_bounds__(L::staged ? 768 : L::bound)
    swiglu_norm_quantize_backward(const Backward<A, AbGrad> a) {
  __shared__ float shared[2][(1 + AbGrad::maxima) * 32], last[32];
  extern __shared__ __align__(16) char staging[];
  char* place = staging;
  const RowStream<L, A> dy(a.dy, a.H, a.H, place), left(a.in.left, a.in.stride, a.H, place),
      right(a.in.right, a.in.stride, a.H, place);
  const WeightRow<L> weights(a.weight, 0, a.H, place);
  const ScalarStream<1> rstd(a.rstd, place);
  typename L::Row dweight = {};
  typename AbGrad::template Waiting<L, 2> waiting;
  const auto fetch = [&](Index n, int turn) {
    dy.fetch(n, turn);
    left.fetch(n, turn);
    right.fetch(n, turn);
    rstd.fetch(n, turn);
  };
  walk_rows(a.N, fetch, [&](Index n, int turn) {
    const float r = rstd.read(turn)[0];
    typename L::Row x, open, b, z, weight;
    const auto read = [&] {
      weights.read(weight);
      left.read(x, n, turn);
      right.read(b, n, turn);
      dy.read(z, n, turn);
    };
    read();
    float total[1 + AbGrad::maxima] = {};
    a.dab.template ask<L, 2>(waiting, total + 1);
    const float back = approximate_reciprocal(r);
    each<L>([&](int i, int v) {
      open[i][v] = gate(x[i][v], back);
      const float p = x[i][v] * open[i][v] * b[i][v];
      dweight[i][v] += z[i][v] * p;
      total[0] += z[i][v] * weight[i][v] * p;
    });
    reduce_row<1>(total, shared[turn]);
    a.dab.template leave<L, 2>(waiting, a.H, total + 1);
    const float mean = total[0] * a.inverse_H;
    read();  // again, rather than keep four rows in registers meanwhile
    each<L>([&](int i, int v) {
      const float value = x[i][v] * open[i][v];
      const float dp = z[i][v] * weight[i][v] - value * b[i][v] * mean;  // over r
      x[i][v] = dp * b[i][v] * silu_slope(value, open[i][v], back);      // da
      b[i][v] = dp * value;                                              // db
    });
    a.dab.template put_row<L>(waiting, n, a.H, x, b);
  });
  a.dab.template leave_last<L, 2>(waiting, a.H, last);
  store_row<L>(a.parts + Index(blockIdx.x) * a.H, dweight, a.H);
}

template <class L, class A>
std::size_t staging_bytes(Index H) {
  return 3 * RowStream<L, A>::bytes(H) + WeightRow<L>::bytes(H) +
         ScalarStream<1>::bytes(L::threads(H));
}

// f(how the gradients of a and b leave)
template <class A, class F>
void visit_glu_grad(const char* kernel, const SwigluNormQuantizeBackward& a, F&& f) {
  if (!a.b) return visit_row_grad<A>(kernel, a.da, a.da_fp8, f);
  check(!a.da_fp8, kernel, ": expected 8-bit gradients of a and b side by side alone");
  f(TwoRowGrads<A>{{}, RowGrad<A>(a.da), RowGrad<A>(a.db)});
}

}  // namespace

void CudaBackend::run(const SwigluNormQuantize& a) {
  const auto [H, N] = GluSize(a.a, a.b);
  const bool fours = in_fours(H, a.a, a.b, a.row.y.q, a.row.weight);
  visit_real(a.a.dtype(), [&, H = H, N = N]<class A>() {
    visit_writer<A>(a.row, [&]<class Writer>() {
      const Forward<A, Writer> task{.row = Writer(a.row),
                                    .rstd = a.rstd.data<float>(),
                                    .in = {a.a, a.b},
                                    .H = int(H),
                                    .inverse_H = 1.0f / float(H),
                                    .eps = float(a.eps)};
      visit_layout<LongRow>("[swiglu_norm_quantize]", H, fours, 0, [&]<class L>() {
        launch_rows("[swiglu_norm_quantize]", swiglu_norm_quantize_forward<L, A, Writer>, task, N,
                    L::threads(H), 0, stream_);
      });
    });
  });
}

void CudaBackend::run(const SwigluNormQuantizeBackward& a) {
  const auto [H, N] = GluSize(a.a, a.b);
  const Index P = column_sum_parts(a, traits_);
  const bool fours =
      in_fours(H, a.da.to, a.db.to, a.da_fp8.codes, a.row.dy, a.row.weight, a.a, a.b);
  const Tensor memory = workspace(a);
  float* parts = static_cast<float*>(memory.raw());
  const char* name = "[swiglu_norm_quantize]";
  visit_real(a.a.dtype(), [&, H = H, N = N]<class A>() {
    visit_glu_grad<A>(name, a, [&]<class AbGrad>(const AbGrad& dab) {
      const Backward<A, AbGrad> task{.dab = dab,
                                     .dy = data_or_null<A>(a.row.dy),
                                     .in = {a.a, a.b},
                                     .weight = a.row.weight.data<float>(),
                                     .rstd = a.rstd.data<float>(),
                                     .parts = parts,
                                     .N = N,
                                     .H = int(H),
                                     .inverse_H = 1.0f / float(H)};
      visit_layout<LongRow>(name, H, fours, staging_bytes<LongRow, A>(H), [&]<class L>() {
        launch_rows(name, swiglu_norm_quantize_backward<L, A, AbGrad>, task, P, L::threads(H),
                    staging_bytes<L, A>(H), stream_);
      });
    });
  });
  const Grad to[] = {a.row.dweight};
  add_column_sums(to, parts, P, H, stream_);
}

}  // namespace tern
