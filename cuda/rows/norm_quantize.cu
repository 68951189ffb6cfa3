// Residual add, block norm, and up to three layer norms with their quantisers, in one pass.
#include "cuda/backend/cuda_backend.h"
#include "cuda/common/column_sum.cuh"
#include "cuda/rows/row_fp8.cuh"
#include "cuda/rows/row_layout.cuh"
#include "cuda/rows/row_walk.cuh"
#include "cuda/rows/row_writer.cuh"

namespace tern {

using namespace cuda;

namespace {

// R: the residual stream, A: activations, K: consumers that there is room for
template <class R, class A, class Writer, int K>
struct Forward {
  Writer rows[K]{};
  R* sum;
  float* rstd;
  const R* x;
  const A* branch;
  const float* block;
  int D;
  float inverse_D, eps, one;  // one: 0, or 1 without a block weight, whose row reads as zero
};

// A block owns a row, a thread its Items * V columns. Each input is read once and each output
// written once, (2 R + A) D + K D bytes with int8 rows, K A D with real ones (weights come from
// L1): bound by memory. f32; the sum is rounded to R first: later readers see that value.
// The two norms and K maxima come out of one reduction: with w the block weight, u = s r w, so
// sum(u^2) = r^2 sum((s w)^2) and max |u w_k| = r max |s w w_k|. Reproducible: fixed tree.
template <class L, class R, class A, class Writer, int K>
__global__ void __launch_bounds__(L::bound)
    norm_quantize_forward(const Forward<R, A, Writer, K> a) {
  __shared__ float shared[(2 + K) * 32];
  const Index n = blockIdx.x, row = n * a.D;
  typename L::Row s, added, block, e[K];
  load_row<L>(s, a.x + row, a.D);
  load_row<L>(added, a.branch + row, a.branch ? a.D : 0);
  load_row<L>(block, a.block, a.block ? a.D : 0);
#pragma unroll
  for (int k = 0; k < K; ++k) load_row<L>(e[k], a.rows[k].weight, a.rows[k].weight ? a.D : 0);
  each<L>([&](int i, int v) { s[i][v] += added[i][v]; });
  round_row<L, R>(s);
  store_row<L>(a.sum + row, s, a.sum ? a.D : 0);
  float total[2 + K] = {};
  each<L>([&](int i, int v) {
    total[0] += s[i][v] * s[i][v];
    s[i][v] *= block[i][v] + a.one;
    total[1] += s[i][v] * s[i][v];
  });
#pragma unroll
  for (int k = 0; k < K; ++k) total[2 + k] = weigh<L>(e[k], s);
  reduce_row<2>(total, shared);
  const float r = inverse_rms(total[0], a.inverse_D, a.eps), outer = a.block ? r : 1.0f;
  const float inner = inverse_rms(outer * outer * total[1], a.inverse_D, a.eps);
#pragma unroll
  for (int k = 0; k < K; ++k)
    if (a.rows[k].weight) a.rows[k].template write<L>(n, e[k], outer * inner, total[2 + k], a.D);
  if (threadIdx.x == 0) {
    a.rstd[2 * n] = r;
    a.rstd[2 * n + 1] = inner;
  }
}

template <class R, class A, int K, class BranchGrad>
struct Backward {
  const A* dy[K]{};
  const float* weight[K]{};
  RowGrad<R> dx;
  BranchGrad dbranch;
  const R *dsum, *sum;
  const float *rstd, *block;
  float* parts = nullptr;  // (P, sums, D): of each consumer's weight, then of the block weight
  Index N;
  int rows, sums, D;
  float inverse_D, one;
};

// Block p owns rows p, p + P, ..., a thread its Items * V columns and their weight gradients, in
// registers until the last row. Reads sum, dsum and K dy, writes dx and dbranch: (3 R + (K + 1) A)
// D bytes a row, and D if dbranch goes in 8-bit floats too, one row ahead; one reduction a row
// (NormMeans). Bound by memory, closely followed by instructions. f32. Reproducible: P depends on
// shape and device alone.
template <class L, class R, class A, int K, class BranchGrad>
__global__ void __launch_bounds__(L::bound)
    norm_quantize_backward(const Backward<R, A, K, BranchGrad> a) {
  __shared__ float shared[2][(2 + BranchGrad::maxima) * 32], last[32];
  extern __shared__ __align__(16) char staging[];
  char* place = staging;
  const RowStream<L, R> sum(a.sum, a.D, a.D, place), dsum(a.dsum, a.D, a.D, place);
  RowStream<L, A> dy[K];
  for (int k = 0; k < K; ++k) dy[k] = RowStream<L, A>(a.dy[k], a.D, a.D, place);
  const WeightRow<L> block_weight(a.block, a.one, a.D, place);
  WeightRow<L> weights[K];
  for (int k = 0; k < K; ++k) weights[k] = WeightRow<L>(a.weight[k], 0, a.D, place);
  const ScalarStream<2> rstd(a.rstd, place);
  typename L::Row dweight[K] = {}, dblock = {};
  typename BranchGrad::template Waiting<L, 1> waiting;
  const auto fetch = [&](Index n, int turn) {
    sum.fetch(n, turn);
    dsum.fetch(n, turn);
#pragma unroll
    for (int k = 0; k < K; ++k) dy[k].fetch(n, turn);
    rstd.fetch(n, turn);
  };
  walk_rows(a.N, fetch, [&](Index n, int turn) {
    const float inner = rstd.read(turn)[1], outer = a.block ? rstd.read(turn)[0] : 1.0f;
    typename L::Row x, block, z = {}, d, weight;
    block_weight.read(block);
    sum.read(x, n, turn);
    const float both = outer * inner;
    each<L>([&](int i, int v) { x[i][v] *= both; });
#pragma unroll
    for (int k = 0; k < K; ++k) {
      weights[k].read(weight);
      dy[k].read(d, n, turn);
      each<L>([&](int i, int v) {
        z[i][v] += d[i][v] * weight[i][v];
        dweight[k][i][v] += d[i][v] * (x[i][v] * block[i][v]);
      });
    }
    float total[2 + BranchGrad::maxima] = {};
    a.dbranch.template ask<L, 1>(waiting, total + 2);
    each<L>([&](int i, int v) {
      const float u = x[i][v] * block[i][v];
      total[0] += z[i][v] * u;
      total[1] += u * u;
    });
    reduce_row<2>(total, shared[turn]);
    a.dbranch.template leave<L, 1>(waiting, a.D, total + 2);
    const NormMeans mean(total, outer, inner, a.inverse_D);
    const float outer_mean = a.block ? mean.outer_mean : 0.0f;
    each<L>([&](int i, int v) {
      const float e = z[i][v] - x[i][v] * block[i][v] * mean.inner_mean;
      dblock[i][v] += e * x[i][v];
      z[i][v] = both * (e * block[i][v]) - x[i][v] * outer_mean;
    });
    dsum.read(d, n, turn);
    each<L>([&](int i, int v) { z[i][v] += d[i][v]; });
    a.dx.template put<L>(n * a.D, z, a.D);
    a.dbranch.template put_row<L>(waiting, n, a.D, z);
  });
  a.dbranch.template leave_last<L, 1>(waiting, a.D, last);
  float* part = a.parts + Index(blockIdx.x) * a.sums * a.D;
#pragma unroll
  for (int k = 0; k < K; ++k)
    if (k < a.rows) store_row<L>(part + k * a.D, dweight[k], a.D);
  if (a.sums > a.rows) store_row<L>(part + a.rows * a.D, dblock, a.D);
}

template <class L, class R, class A, int K>
std::size_t staging_bytes(Index D) {
  return 2 * RowStream<L, R>::bytes(D) + K * RowStream<L, A>::bytes(D) +
         (K + 1) * WeightRow<L>::bytes(D) + ScalarStream<2>::bytes(L::threads(D));
}

// f.operator()<R, A>()
template <class F>
void visit_streams(DType residual, DType activation, F&& f) {
  if (residual == DType::f32 && activation == DType::f32)
    return f.template operator()<float, float>();
  if (residual == DType::f32 && activation == DType::bf16)
    return f.template operator()<float, bf16>();
  check(
      residual == DType::bf16 && activation == DType::bf16,
      "[norm_quantize] expected the residual stream and activations in f32 and f32, f32 and bf16, "
      "or bf16 and bf16, got ",
      residual, " and ", activation);
  f.template operator()<bf16, bf16>();
}

// f.operator()<K>(): rows with one consumer have kernels of their own, at the widths that matter
template <class L, class F>
void visit_consumers(std::size_t rows, F&& f) {
  if constexpr (L::staged)
    if (rows == 1) return f.template operator()<1>();
  f.template operator()<3>();
}

DType activations(const NormQuantize& a) {
  if (a.branch) return a.branch.dtype();
  for (const NormalizedRow& row : a.rows)
    if (row.y.q.dtype() != DType::i8) return row.y.q.dtype();
  return a.x.dtype();
}
DType activations(const NormQuantizeBackward& a) {
  if (a.dbranch) return a.dbranch.to.dtype();
  for (const NormalizedRowGrad& row : a.rows)
    if (row.dy) return row.dy.dtype();
  return a.sum.dtype();
}

template <class R, class A, class Writer, int K>
Forward<R, A, Writer, K> task_of(const NormQuantize& a) {
  const Index D = a.x.shape().last();
  Forward<R, A, Writer, K> task{.sum = data_or_null<R>(a.sum),
                                .rstd = a.rstd.data<float>(),
                                .x = a.x.data<R>(),
                                .branch = data_or_null<A>(a.branch),
                                .block = data_or_null<float>(a.block_weight),
                                .D = int(D),
                                .inverse_D = 1.0f / float(D),
                                .eps = float(a.eps),
                                .one = a.block_weight ? 0.0f : 1.0f};
  for (std::size_t k = 0; k < a.rows.size(); ++k) task.rows[k] = Writer(a.rows[k]);
  return task;
}

template <class R, class A, int K, class BranchGrad>
Backward<R, A, K, BranchGrad> task_of(const NormQuantizeBackward& a, const BranchGrad& dbranch,
                                      float* parts) {
  const Index D = a.sum.shape().last();
  Backward<R, A, K, BranchGrad> task{.dx = RowGrad<R>(a.dx),
                                     .dbranch = dbranch,
                                     .dsum = data_or_null<R>(a.dsum),
                                     .sum = a.sum.data<R>(),
                                     .rstd = a.rstd.data<float>(),
                                     .block = data_or_null<float>(a.block_weight),
                                     .parts = parts,
                                     .N = a.sum.elements() / D,
                                     .rows = int(a.rows.size()),
                                     .sums = int(a.rows.size()) + (a.dblock_weight ? 1 : 0),
                                     .D = int(D),
                                     .inverse_D = 1.0f / float(D),
                                     .one = a.block_weight ? 0.0f : 1.0f};
  for (std::size_t k = 0; k < a.rows.size(); ++k) {
    task.dy[k] = data_or_null<A>(a.rows[k].dy);
    task.weight[k] = a.rows[k].weight.data<float>();
  }
  return task;
}

}  // namespace

void CudaBackend::run(const NormQuantize& a) {
  const Index D = a.x.shape().last(), N = a.x.elements() / D;
  check(!a.rows.empty() && a.rows.size() <= 3 && bool(a.sum) == bool(a.branch),
        "[norm_quantize] expected 1 to 3 consumers, got ", a.rows.size(),
        ", and a sum where there is a branch: sum is ", a.sum, ", branch is ", a.branch);
  bool fours = in_fours(D, a.sum, a.x, a.branch, a.block_weight);
  for (const NormalizedRow& row : a.rows) fours = fours && in_fours(D, row.y.q, row.weight);
  visit_streams(a.x.dtype(), activations(a), [&]<class R, class A>() {
    visit_writer<A>(a.rows[0], [&]<class Writer>() {
      visit_layout<LongRow>("[norm_quantize]", D, fours, 0, [&]<class L>() {
        visit_consumers<L>(a.rows.size(), [&]<int K>() {
          launch_rows("[norm_quantize]", norm_quantize_forward<L, R, A, Writer, K>,
                      task_of<R, A, Writer, K>(a), N, L::threads(D), 0, stream_);
        });
      });
    });
  });
}

void CudaBackend::run(const NormQuantizeBackward& a) {
  const Index D = a.sum.shape().last(), P = column_sum_parts(a, traits_);
  check(a.rows.size() <= 3, "[norm_quantize] expected at most 3 consumers, got ", a.rows.size());
  bool fours =
      in_fours(D, a.dx.to, a.dbranch.to, a.dbranch_fp8.codes, a.dsum, a.sum, a.block_weight);
  for (const NormalizedRowGrad& row : a.rows) fours = fours && in_fours(D, row.dy, row.weight);
  const Tensor memory = workspace(a);
  float* parts = memory ? static_cast<float*>(memory.raw()) : nullptr;
  const char* name = "[norm_quantize]";
  visit_streams(a.sum.dtype(), activations(a), [&]<class R, class A>() {
    visit_row_grad<A>(name, a.dbranch, a.dbranch_fp8,
                      [&]<class BranchGrad>(const BranchGrad& dbranch) {
                        visit_layout<ShortRow>(
                            name, D, fours, staging_bytes<ShortRow, R, A, 3>(D), [&]<class L>() {
                              visit_consumers<L>(a.rows.size(), [&]<int K>() {
                                launch_rows(name, norm_quantize_backward<L, R, A, K, BranchGrad>,
                                            task_of<R, A, K>(a, dbranch, parts), P, L::threads(D),
                                            staging_bytes<L, R, A, K>(D), stream_);
                              });
                            });
                      });
  });
  std::vector<Grad> to;
  for (const NormalizedRowGrad& row : a.rows) to.push_back(row.dweight);
  if (a.dblock_weight) to.push_back(a.dblock_weight);
  add_column_sums(to, parts, P, D, stream_);
}

}  // namespace tern
