#include "rtl/model/fixed_model.h"

#include "core/backend.h"

namespace tern::rtl {
namespace {

// The mean of squares of numbers with so many bits behind the point.
Scalar mean(std::uint64_t squares, int fraction, std::int64_t count) {
  return multiply(scalar_of(squares, -2 * fraction), scalar_of(1.0 / double(count)));
}

}  // namespace

FixedModel::FixedModel(const DecodeModel& m, int fraction)
    : model_(m), on_(m.table.backend()), fraction_(fraction), weights_(fixed_weights(m)) {
  one_ = Tensor(on_, {1}, DType::f32);
  on_.fill(one_, 1);
  clear();
}

void FixedModel::clear() {
  state_.assign(weights_.layers.size(), Vector(std::size_t(weights_.width())));
}

const Vector& FixedModel::step(std::int32_t id) {
  x_ = embedding_of(model_, id, fraction_, saturate_);
  for (std::size_t l = 0; l < state_.size(); ++l) {
    mix_tokens(weights_.layers[l], state_[l]);
    mix_channels(weights_.layers[l]);
  }
  Product logits = normalized_product(weights_.head, weights_.norm);
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
  const Scalar top = rtl::multiply(scalar_of(row.largest, -fraction), m.inverse);
  Product out{.shift = sum_shift(m.inputs), .g = divide(top, square_root(mean_square))};
  for (const double s : download_real(y)) out.sums.push_back(std::int32_t(s));
  return out;
}

// Of x behind the block's norm and the layer's own.
FixedModel::Product FixedModel::normalized_product(const FixedMatrix& m, const NormVector& block) {
  const QuantizedRow row = quantize(x_, m.into, saturate_, &block);
  const int fraction = fraction_ - row.shift;
  const Scalar of_x = mean(row.squares, fraction, m.inputs);
  const Scalar of_norm = mean(row.of_norm, fraction + block.fraction - 15, m.inputs);
  const Scalar all = add(of_norm, rtl::multiply(weights_.eps, add(of_x, weights_.eps)));
  return multiply(m, row, all, fraction_ + m.into.fraction);
}

void FixedModel::mix_tokens(const FixedLayer& layer, Vector& state) {
  const std::int64_t inputs = layer.i.inputs;
  const int shift = sum_shift(inputs);
  const Product i = normalized_product(layer.i, layer.token_norm);
  const Product f = normalized_product(layer.f, layer.token_norm);
  const Product g = normalized_product(layer.g, layer.token_norm);
  const Vector c = silu_of_sums(i.scaled(), saturate_);
  scan_row(state, closed_gates(f.scaled(), layer.open, saturate_), c, saturate_);
  const Vector a = silu_of_state(state, saturate_);
  const Vector weighed = multiply_rows(a, 0, layer.g_norm.mantissas, 15, saturate_);
  // p = S_g w_g silu(h), without g's scale and norm, which are the row's
  const Vector p = multiply_rows(g.sums, shift, weighed, 9, saturate_);
  const int fraction = kSiluFraction + layer.g_norm.fraction - 15 - 9 - shift;
  const QuantizedRow row = quantize(p, layer.o.into, saturate_);
  const Scalar of_p = mean(row.squares, fraction - row.shift, inputs);
  const Scalar of_g = mean(sum_squares(g.sums, shift), -shift, inputs);
  const Scalar& eps = weights_.eps;
  const Scalar all = add(of_p, rtl::multiply(eps, add(of_g, divide(eps, rtl::multiply(g.g, g.g)))));
  const Product o = multiply(layer.o, row, all, fraction + layer.o.into.fraction);
  x_ = add_scaled(x_, o.scaled(), fraction_, saturate_);
}

void FixedModel::mix_channels(const FixedLayer& layer) {
  const auto H = std::size_t(layer.down.inputs);
  const Product both = normalized_product(layer.gate, layer.channel_norm);
  const Vector a = silu_of_sums(both.scaled(0, H), saturate_);
  const Vector p = multiply_rows(both.scaled(H, H).sums, both.shift, a, 9, saturate_);
  const int fraction = kSiluFraction - 9 - both.shift;
  const QuantizedRow row = quantize(p, layer.down.into, saturate_);
  const Scalar of_p = mean(row.squares, fraction - row.shift, layer.down.inputs);
  const Scalar all = add(of_p, divide(weights_.eps, rtl::multiply(both.g, both.g)));
  const Product down = multiply(layer.down, row, all, fraction + layer.down.into.fraction);
  x_ = add_scaled(x_, down.scaled(), fraction_, saturate_);
}

}  // namespace tern::rtl
