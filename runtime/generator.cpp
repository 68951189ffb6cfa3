#include "runtime/generator.h"

#include <algorithm>
#include <bit>

#include "core/backend.h"

namespace tern {

Index prompt_chunk(const Model& model) {
  if (!model.backend().traits().is_gpu()) return kPromptChunk;
  constexpr double kShare = 0.04;
  const ParameterCount count = model.count();
  const double codes = double(count.matrices()) / 4, rows = 2 * double(count.embedding);
  const double activations = 8 * double(model.config().glu_width());  // bytes of a token, about
  const auto fit = std::uint64_t(kShare * (codes + rows) / activations);
  return std::clamp<Index>(Index(std::bit_floor(fit)), kPromptChunk, 2048);
}

Generator::Generator(Model& model, const Sampling& sampling, std::int64_t positions)
    : model_(model),
      sampling_(sampling),
      positions_(std::min(positions, kMostPositions)),
      state_(model.new_state(1, positions_)) {}

// A chunk of a prompt at its first place and at its last one, since attention takes more behind a
// longer cache; then one token.
void Generator::rehearse() {
  const Index chunk = prompt_chunk(model_);
  const Index most = positions_ > 0 ? std::min<Index>(positions_, chunk) : chunk;
  const std::vector<std::int32_t> ids(std::size_t(most), 0);
  advance(ids);
  const Index last = Index(positions_) - most - 1;
  if (last > state_.front().steps) {
    for (LayerState& layer : state_) layer.steps = last;
    advance(ids);
  }
  draw(0);
  decoding_.reset();
}

void Generator::set_state(GeneratorState state) {
  decoding_.reset();  // of the former state
  state_ = std::move(state.model);
  unread_ = state.unread;
  drawn_ = state.drawn;
}

// All but the last id, which next() reads: that is where logits are needed.
void Generator::read(std::span<const std::int32_t> ids) {
  if (ids.empty()) return;
  std::vector<std::int32_t> now;
  if (unread_ >= 0) now.push_back(unread_);
  now.insert(now.end(), ids.begin(), ids.end() - 1);
  unread_ = ids.back();
  advance(now);
}

void Generator::advance(std::span<const std::int32_t> ids) {
  if (decoding_) decoding_->settle();
  const auto chunk = std::size_t(prompt_chunk(model_));
  while (!ids.empty()) {
    const std::size_t n = std::min(ids.size(), chunk);
    const Tensor input(model_.backend(), {1, Index(n)}, DType::i32);
    model_.backend().upload(input, ids.data());
    model_.advance({}, input, state_);
    ids = ids.subspan(n);
  }
}

std::int32_t Generator::draw(std::int32_t after) {
  if (!decoding_) decoding_.emplace(model_, state_, sampling_);
  return decoding_->next({&after, 1}, drawn_)[0];
}

GeneratorState Generator::state() {
  if (decoding_) decoding_->settle();
  return {.model = state_, .unread = unread_, .drawn = drawn_};
}

std::int32_t Generator::next() {
  check(unread_ >= 0, "[Generator] expected a prompt of at least one token");
  unread_ = draw(unread_);
  ++drawn_;
  return unread_;
}

}  // namespace tern
