#include "rtl/model/fixed_model.h"

#include <cmath>

#include "core/backend.h"

namespace tern::rtl {
namespace {

using Values = std::vector<double>;

Values times(Values a, const Values& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] *= b[i];
  return a;
}

FixedMatrix fixed(const DecodeMatrix& from, const Tensor& block = {}) {
  const Values own = download_real(from.norm);
  return {.tiles = from.weight.t,
          .into = norm_vector(block ? times(own, download_real(block)) : own),
          .inverse = scalar_of(1 / (127 * download_real(from.weight.scale)[0])),
          .outputs = from.weight.t.shape()[0],
          .inputs = from.weight.t.shape()[1]};
}

Vector open_gate(const Tensor& bound, std::size_t width) {
  const Values values = bound ? download_real(bound) : Values(width);
  Vector out;
  for (const double b : values)
    out.push_back(std::int32_t(std::lrint(std::ldexp(1 - b, kBoundFraction))));
  return out;
}

// The mean of squares of numbers with so many bits behind the point.
Scalar mean(std::uint64_t squares, int fraction, std::int64_t count) {
  return multiply(scalar_of(squares, -2 * fraction), scalar_of(1.0 / double(count)));
}

// g of sums that were narrowed to 18 bits
Factor factor_of_sums(const Scalar& g, std::int64_t inputs) {
  Factor out = factor_of(g);
  out.exponent += sum_shift(inputs);
  return out;
}

Values row_of(const Tensor& table, const Tensor& row_scale, std::int32_t id) {
  const Tensor row = table.slice(id, 1);
  if (!row_scale) return download_real(row);
  std::vector<std::int8_t> codes(static_cast<std::size_t>(row.elements()));
  row.backend().download(codes.data(), row);
  const double scale = download_real(row_scale.slice(id, 1))[0];
  Values out;
  for (const std::int8_t q : codes) out.push_back(q / scale);
  return out;
}

}  // namespace

FixedModel::FixedModel(const DecodeModel& m, int fraction)
    : on_(m.table.backend()),
      fraction_(fraction),
      eps_(scalar_of(m.eps)),
      table_(m.table),
      row_scale_(m.row_scale),
      norm_(norm_vector(download_real(m.norm))),
      head_(fixed(m.head, m.norm)) {
  one_ = Tensor(on_, {1}, DType::f32);
  on_.fill(one_, 1);
  for (const DecodeLayer& l : m.layers)
    layers_.push_back({.token_norm = norm_vector(download_real(l.token_norm)),
                       .channel_norm = norm_vector(download_real(l.channel_norm)),
                       .g_norm = norm_vector(download_real(l.g_norm)),
                       .i = fixed(l.i, l.token_norm),
                       .f = fixed(l.f, l.token_norm),
                       .g = fixed(l.g, l.token_norm),
                       .o = fixed(l.o),
                       .gate = fixed(l.gate, l.channel_norm),
                       .down = fixed(l.down),
                       .open = open_gate(l.bound, std::size_t(m.norm.elements()))});
  clear();
}

void FixedModel::clear() {
  state_.assign(layers_.size(), Vector(norm_.mantissas.size()));
}

const Vector& FixedModel::step(std::int32_t id) {
  x_.clear();
  for (const double v : row_of(table_, row_scale_, id))
    x_.push_back(saturate_(std::llrint(std::ldexp(v, fraction_)), kResidualBits));
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    mix_tokens(layers_[l], state_[l]);
    mix_channels(layers_[l]);
  }
  Product logits = normalized_product(head_, norm_);
  logits_ = std::move(logits.sums);
  logit_scale_ = logits.g;
  return logits_;
}

// S, exact, and g = max |v| / (127 scale sqrt(mean_square)). fraction: bits behind the point of v.
FixedModel::Product FixedModel::multiply(const FixedMatrix& m, const QuantizedRow& row,
                                         const Scalar& mean_square, int fraction) {
  const Tensor q(on_, {1, m.inputs}, DType::i8), y(on_, {1, m.outputs}, DType::f32);
  on_.upload(q, row.q.data());
  on_.run(
      TernaryProduct{.y = y, .x = {.q = q, .row_scale = one_}, .w = {.t = m.tiles, .scale = one_}});
  Product out;
  for (const double s : download_real(y)) out.sums.push_back(std::int32_t(s));
  const Scalar top = rtl::multiply(scalar_of(row.largest, -fraction), m.inverse);
  if (top.mantissa != 0) out.g = divide(top, square_root(mean_square));
  return out;
}

// Of x behind the block's norm and the layer's own.
FixedModel::Product FixedModel::normalized_product(const FixedMatrix& m, const NormVector& block) {
  const QuantizedRow row = quantize(x_, m.into, &block);
  const int fraction = fraction_ - row.shift;
  const Scalar of_x = mean(row.squares, fraction, m.inputs);
  const Scalar of_norm = mean(row.of_norm, fraction + block.fraction - 15, m.inputs);
  const Scalar all = add(of_norm, rtl::multiply(eps_, add(of_x, eps_)));
  return multiply(m, row, all, fraction_ + m.into.fraction);
}

// What sigmoids read: the first sums times g, Q.11.
Vector FixedModel::gate_inputs(const Product& product, std::int64_t inputs, std::size_t count) {
  const Factor g = factor_of_sums(product.g, inputs);
  Vector out;
  for (const std::int32_t s : narrow_sums(std::span(product.sums).first(count), inputs))
    out.push_back(saturate_(scale_sum(s, g, kGateFraction), kGateBits));
  return out;
}

void FixedModel::add_to_residual(const Product& product, std::int64_t inputs) {
  const Factor g = factor_of_sums(product.g, inputs);
  const Vector narrow = narrow_sums(product.sums, inputs);
  for (std::size_t i = 0; i < x_.size(); ++i)
    x_[i] = saturate_(x_[i] + scale_sum(narrow[i], g, fraction_), kResidualBits);
}

void FixedModel::mix_tokens(const FixedLayer& layer, Vector& state) {
  const std::size_t D = x_.size();
  const std::int64_t inputs = layer.i.inputs;
  const Vector f = gate_inputs(normalized_product(layer.f, layer.token_norm), inputs, D);
  const Vector i = gate_inputs(normalized_product(layer.i, layer.token_norm), inputs, D);
  const Product g = normalized_product(layer.g, layer.token_norm);
  const Vector narrow = narrow_sums(g.sums, inputs);
  Vector p(D);
  std::uint64_t squares = 0;  // of the sums that g's norm would divide by
  for (std::size_t d = 0; d < D; ++d) {
    const std::int32_t c = saturate_(silu(i[d]), kOperandBits);
    state[d] = scan(state[d], closed_gate(f[d], layer.open[d]), c, saturate_);
    const std::int32_t z =
        saturate_(round_shift(state[d], kStateFraction - kGateFraction), kGateBits);
    const std::int64_t a = saturate_(silu(z), kOperandBits);
    const std::int64_t weighed = round_shift(a * layer.g_norm.mantissas[d], 15);
    p[d] = saturate_(round_shift(narrow[d] * weighed, 9), kResidualBits);
    squares += std::uint64_t(std::int64_t(narrow[d]) * narrow[d]);
  }
  // p = S_g w_g silu(h), without g's scale and norm, which are the row's
  const int fraction = kSiluFraction + layer.g_norm.fraction - 15 - 9 - sum_shift(inputs);
  const QuantizedRow row = quantize(p, layer.o.into);
  const Scalar of_p = mean(row.squares, fraction - row.shift, inputs);
  const Scalar of_g = mean(squares, -sum_shift(inputs), inputs);
  Scalar all = of_p;
  if (g.g.mantissa != 0)
    all = add(of_p, rtl::multiply(eps_, add(of_g, divide(eps_, rtl::multiply(g.g, g.g)))));
  add_to_residual(multiply(layer.o, row, all, fraction + layer.o.into.fraction), inputs);
}

void FixedModel::mix_channels(const FixedLayer& layer) {
  const auto H = std::size_t(layer.down.inputs);
  const std::int64_t inputs = layer.gate.inputs;
  const Product both = normalized_product(layer.gate, layer.channel_norm);
  const Vector a = gate_inputs(both, inputs, H);
  const Vector b = narrow_sums(std::span(both.sums).subspan(H), inputs);
  Vector p(H);
  for (std::size_t h = 0; h < H; ++h)
    p[h] = saturate_(round_shift(std::int64_t(b[h]) * saturate_(silu(a[h]), kOperandBits), 9),
                     kResidualBits);
  const int fraction = kSiluFraction - 9 - sum_shift(inputs);
  const QuantizedRow row = quantize(p, layer.down.into);
  const Scalar of_p = mean(row.squares, fraction - row.shift, layer.down.inputs);
  Scalar all = of_p;
  if (both.g.mantissa != 0) all = add(of_p, divide(eps_, rtl::multiply(both.g, both.g)));
  add_to_residual(multiply(layer.down, row, all, fraction + layer.down.into.fraction),
                  layer.down.inputs);
}

}  // namespace tern::rtl
