#include "runtime/decoding.h"

#include <algorithm>

#include "core/backend.h"
#include "layers/decode_model.h"

namespace tern {
namespace {

// Waits for them.
std::vector<std::int32_t> tokens_of(Snapshot& drawn) {
  const std::span<const std::byte> bytes = drawn.bytes();
  std::vector<std::int32_t> ids(bytes.size() / sizeof(std::int32_t));
  std::ranges::copy(bytes, std::as_writable_bytes(std::span(ids)).begin());
  for (const std::int32_t id : ids)
    require(id >= 0, Fault::diverged, "the model's logit of token ", -1 - id,
            " is not finite: expected finite numbers: its training diverged, ",
            "or its weights are damaged (tern inspect --verify)");
  return ids;
}

}  // namespace

Decoding::Decoding(Model& model, ModelState& state, const Sampling& sampling)
    : model_(model),
      state_(state),
      sampling_(sampling),
      rng_(sampling.seed, stream_of("sampling")) {
  const std::optional<DecodeModel> inside = decode_model(model, state);
  if (inside) step_ = model.backend().decode_step(*inside);
  if (step_)
    for (const DecodeLayer& layer : inside->layers) other_.push_back(layer.state[1]);
}

std::vector<std::int32_t> Decoding::next(std::span<const std::int32_t> ids, std::uint64_t drawn) {
  if (ahead_ && !std::ranges::equal(ids, last_)) settle();
  if (!ahead_)
    launch(upload_ids(model_.backend(), {Index(ids.size()), 1}, {ids.begin(), ids.end()}), drawn);
  const std::unique_ptr<Snapshot> answer = std::move(on_its_way_);
  ahead_ = step_ && step_->is_asynchronous();
  if (ahead_) launch(drawn_.reshape({Index(ids.size()), 1}), drawn + 1);
  last_ = tokens_of(*answer);
  return last_;
}

void Decoding::settle() {
  if (!std::exchange(ahead_, false)) return;
  on_its_way_ = nullptr;
  change_states(-1);
}

void Decoding::launch(const Tensor& ids, std::uint64_t drawn) {
  Backend& on = model_.backend();
  const Tensor logits = next_logits(ids);
  const Index B = ids.shape()[0];
  if (!numbers_) numbers_ = Tensor(on, {B}, DType::f64);
  if (sampling_.temperature > 0) {
    std::vector<double> uniforms;
    for (Index s = 0; s < B; ++s)
      uniforms.push_back(rng_.uniform(drawn * std::uint64_t(B) + std::uint64_t(s)));
    on.upload(numbers_, uniforms.data());
  }
  drawn_ = Tensor(on, {B}, DType::i32);
  on.run(SampleToken{.ids = drawn_,
                     .logits = logits,
                     .uniforms = numbers_,
                     .temperature = sampling_.temperature,
                     .top_k = sampling_.top_k,
                     .top_p = sampling_.top_p});
  on_its_way_ = on.snapshot(drawn_);
}

Tensor Decoding::next_logits(const Tensor& ids) {
  if (!step_) return model_.next_logits({}, ids, &state_);
  const Tensor logits(model_.backend(), {ids.shape()[0], model_.config().vocab_size}, DType::f32);
  step_->run(logits, ids, from_);
  change_states(1);
  return logits;
}

void Decoding::change_states(Index steps) {
  from_ ^= 1;
  for (std::size_t l = 0; l < state_.size(); ++l) {
    std::swap(state_[l].tensors[0], other_[l]);
    state_[l].steps += steps;
  }
}

}  // namespace tern
