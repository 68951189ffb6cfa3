
#include <algorithm>

#include "core/kernels.h"

namespace tern {
namespace {

double bytes(std::initializer_list<const Tensor*> tensors) {
  double sum = 0;
  for (const Tensor* t : tensors)
    if (*t) sum += double(t->bytes());
  return sum;
}
double bytes(const Grad& g) {
  return g ? double(g.to.bytes()) * (g.add ? 2 : 1) : 0;
}
double bytes(const Fp8Rows& r) {
  return bytes({&r.codes, &r.factors});
}
double bytes(const NormalizedRow& r) {
  return bytes({&r.y.q, &r.y.row_scale, &r.weight});
}
double bytes(const NormalizedRowGrad& r) {
  return bytes({&r.dy, &r.weight}) + bytes(r.dweight);
}
double product_flops(const Tensor& y, const Tensor& x) {
  return 2.0 * double(y.elements()) * double(x.shape().last());
}
double product_flops(const Grad& dx, const Grad& dw, const Tensor& dy) {
  const double per = 2.0 * double(dy.elements());
  return (dx ? per * double(dx.to.shape().last()) : 0) +
         (dw ? per * double(dw.to.shape().last()) : 0);
}

// channels times pairs of a query and a key that it attends to; out (B, T, D)
double attended_pairs(const Tensor& out, Index seen) {
  const double B = double(out.shape()[0]), T = double(out.shape()[1]), D = double(out.shape()[2]);
  return B * D * (T * double(seen) + T * (T + 1) / 2);
}

}  // namespace

Cost cost(const Unary& a) {
  return {.bytes = bytes({&a.y, &a.x})};
}
Cost cost(const UnaryBackward& a) {
  return {.bytes = bytes(a.dx) + bytes({&a.dy, &a.x, &a.y})};
}
Cost cost(const Binary& a) {
  return {.bytes = bytes({&a.y, &a.a, &a.b})};
}
Cost cost(const BinaryBackward& a) {
  return {.bytes = bytes(a.da) + bytes(a.db) + bytes({&a.dy, &a.a, &a.b})};
}
Cost cost(const Accumulate& a) {
  return {.bytes = bytes(a.to) + bytes({&a.x})};
}
Cost cost(const Sum& a) {
  return {.bytes = bytes({&a.y, &a.x})};
}
Cost cost(const SumBackward& a) {
  return {.bytes = bytes(a.dx) + bytes({&a.dy})};
}
Cost cost(const Softmax& a) {
  return {.bytes = bytes({&a.y, &a.x})};
}
Cost cost(const SoftmaxBackward& a) {
  return {.bytes = bytes(a.dx) + bytes({&a.dy, &a.y})};
}
Cost cost(const Cumsum& a) {
  return {.bytes = bytes(a.y) + bytes({&a.x})};
}
Cost cost(const RmsNorm& a) {
  return {.bytes = bytes({&a.y, &a.rstd, &a.x, &a.w})};
}
Cost cost(const RmsNormBackward& a) {
  return {.bytes = bytes(a.dx) + bytes(a.dw) + bytes({&a.dy, &a.x, &a.w, &a.rstd})};
}
Cost cost(const Swiglu& a) {
  return {.bytes = bytes({&a.y, &a.ab})};
}
Cost cost(const SwigluBackward& a) {
  return {.bytes = bytes(a.dab) + bytes({&a.dy, &a.ab})};
}
Cost cost(const Embedding& a) {
  const double rows = double(a.y.elements()) * bits(a.table.dtype()) / 8;
  return {.bytes = rows + bytes({&a.y, &a.ids})};
}
Cost cost(const EmbeddingBackward& a) {
  return {.bytes = bytes(a.dtable) + 2 * bytes({&a.dy}) + bytes({&a.ids})};
}
Cost cost(const Matmul& a) {
  return {.flops = product_flops(a.y, a.x), .bytes = bytes({&a.y, &a.x, &a.w})};
}
Cost cost(const MatmulBackward& a) {
  return {.flops = product_flops(a.dx, a.dw, a.dy),
          .bytes = bytes(a.dx) + bytes(a.dw) + bytes({&a.dy, &a.x, &a.w})};
}
Cost cost(const TernaryProduct& a) {
  return {.flops = product_flops(a.y, a.x.q),
          .bytes = bytes({&a.y, &a.x.q, &a.x.row_scale, &a.w.t, &a.w.scale})};
}
Cost cost(const TernaryProductBackward& a) {
  return {.flops = product_flops(a.dx, a.dw, a.rows_of_dy()),
          .bytes = bytes(a.dx) + bytes(a.dw) + bytes(a.dy_fp8) +
                   bytes({&a.dy, &a.x.q, &a.x_of.sum, &a.x_of.gate, &a.x_of.rstd, &a.x.row_scale,
                          &a.w.t})};
}
Cost cost(const QuantizeRows& a) {
  return {.bytes = bytes({&a.y.q, &a.y.row_scale, &a.x})};
}
Cost cost(const SumMagnitudes& a) {
  return {.bytes = bytes({&a.sums, &a.w})};
}
Cost cost(const QuantizeTernary& a) {
  return {.bytes = bytes({&a.y.t, &a.y.scale, &a.w, &a.magnitudes}) +
                   (a.stats ? bytes({&a.y.t, &a.stats}) : 0)};
}
Cost cost(const PackTernary& a) {
  return {.bytes = bytes({&a.packed, &a.t})};
}
Cost cost(const UnpackTernary& a) {
  return {.bytes = bytes({&a.packed, &a.t})};
}
Cost cost(const Dequantize& a) {
  return {.bytes = bytes({&a.y.q, &a.y.row_scale, &a.x})};
}
Cost cost(const NormQuantize& a) {
  double sum = bytes({&a.sum, &a.rstd, &a.x, &a.branch, &a.block_weight});
  for (const NormalizedRow& r : a.rows) sum += bytes(r);
  return {.bytes = sum};
}
Cost cost(const NormQuantizeBackward& a) {
  double sum = bytes(a.dx) + bytes(a.dbranch) + bytes(a.dbranch_fp8) + bytes(a.dblock_weight) +
               bytes({&a.dsum, &a.sum, &a.rstd, &a.block_weight});
  for (const NormalizedRowGrad& r : a.rows) sum += bytes(r);
  return {.bytes = sum};
}
Cost cost(const GatedNormQuantize& a) {
  return {.bytes = bytes(a.row) + bytes({&a.rstd, &a.g, &a.h, &a.g_weight})};
}
Cost cost(const GatedNormQuantizeBackward& a) {
  return {.bytes = bytes(a.dg) + bytes(a.dg_fp8) + bytes(a.dh) + bytes(a.dg_weight) + bytes(a.row) +
                   bytes({&a.g, &a.h, &a.g_weight, &a.rstd})};
}
Cost cost(const SwigluNormQuantize& a) {
  return {.bytes = bytes(a.row) + bytes({&a.rstd, &a.a, &a.b})};
}
Cost cost(const SwigluNormQuantizeBackward& a) {
  return {.bytes = bytes(a.da) + bytes(a.db) + bytes(a.da_fp8) + bytes(a.row) +
                   bytes({&a.a, &a.b, &a.rstd})};
}
Cost cost(const Mlgru& a) {
  return {.bytes = bytes({&a.h, &a.last, &a.f_in, &a.c_in, &a.bound, &a.initial})};
}
Cost cost(const MlgruBackward& a) {
  return {.bytes = bytes(a.df_in) + bytes(a.dc_in) + bytes(a.dbound) + bytes(a.dinitial) +
                   bytes({&a.dh, &a.dlast, &a.h, &a.f_in, &a.c_in, &a.bound, &a.initial})};
}
Cost cost(const Rotary& a) {
  const bool in_place = a.qkv.raw() == a.q.raw();  // v is not touched
  return {.bytes = bytes({&a.qkv, &a.q, &a.k, &a.v}) * (in_place ? 2.0 / 3 : 1)};
}
Cost cost(const RotaryBackward& a) {
  const bool in_place = a.dq && a.dq.to.raw() == a.dqkv.raw();
  return {.bytes = (bytes(a.dq) + bytes(a.dk) + bytes(a.dv) + bytes({&a.dqkv})) *
                   (in_place ? 2.0 / 3 : 1)};
}
Cost cost(const Attention& a) {
  const double rows =
      double(a.seen) / double(std::max<Index>(1, a.earlier ? a.earlier.shape()[1] : 1));
  return {.flops = 4 * attended_pairs(a.out, a.seen),
          .bytes = bytes({&a.out, &a.log_sum, &a.qkv}) + rows * bytes({&a.earlier})};
}
Cost cost(const AttentionBackward& a) {
  return {.flops = 10 * attended_pairs(a.dout, 0),
          .bytes = bytes(a.dqkv) + bytes({&a.dout, &a.out, &a.log_sum, &a.qkv})};
}
Cost cost(const StoreKeysValues& a) {
  return {.bytes = 2 * 2.0 / 3 * bytes({&a.qkv})};
}
Cost cost(const CrossEntropy& a) {
  return {.bytes =
              bytes({&a.losses, &a.logits, &a.targets}) + (a.gradient ? bytes({&a.logits}) : 0)};
}
Cost cost(const Argmax& a) {
  return {.bytes = bytes({&a.ids, &a.x})};
}
Cost cost(const SampleToken& a) {
  return {.bytes = bytes({&a.ids, &a.logits, &a.uniforms})};
}
Cost cost(const WeightedLoss& a) {
  return {.bytes = bytes({&a.losses})};
}
Cost cost(const SquaredNorm& a) {
  return {.bytes = bytes({&a.g})};
}
Cost cost(const DecideUpdate& a) {
  return {.bytes = bytes({&a.scalars})};
}
Cost cost(const AdamW& a) {
  return {.bytes = 2 * bytes({&a.w, &a.m, &a.v}) + bytes({&a.g, &a.magnitudes})};
}

}  // namespace tern
