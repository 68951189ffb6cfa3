// Text from a model, token by token. A recurrent state has one size: memory and time per token do
// not grow with the text, and there is no window. A Transformer's cache and its time per token
// grow; it reads on past the context that it was trained with, where it is seldom any good.
#pragma once

#include "runtime/decoding.h"

namespace tern {

// Tokens of a prompt that are computed at once: enough for the products' full speed, and few enough
// that their activations are small beside the weights. That many on a CPU, at least so many on a
// GPU: a power of two up to 2048, with activations of some 4 % of the weights.
inline constexpr Index kPromptChunk = 256;
Index prompt_chunk(const Model& model);

// Positions of a text that memory is planned for, and that a state may have behind it.
inline constexpr std::int64_t kMostPositions = std::int64_t(1) << 31;

// Where a Generator stands. With the model and the same Sampling, all that it needs to go on.
struct GeneratorState {
  ModelState model{};        // after every token but `unread`
  std::int32_t unread = -1;  // the last token read or drawn, which gives the next logits; -1: none
  std::uint64_t drawn = 0;   // tokens, so random numbers, of all runs up to here
};

class Generator {
 public:
  // positions: ids of the prompt and of what will be drawn, as far as that is known; more than
  // kMostPositions count as so many
  Generator(Model& model, const Sampling& sampling, std::int64_t positions = 0);
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  void read(
      std::span<const std::int32_t> ids);  // a prompt, or more of it; at least one id before next()
  std::int32_t next();                     // draws a token, and will read it
  // Takes the memory that reading and drawing so many positions takes; what it reads are zeros.
  void rehearse();

  Model& model() const { return model_; }
  std::int32_t last() const { return unread_; }  // token read or drawn; -1: none yet
  // Its tensors are the generator's own, and change with the next read() or next().
  GeneratorState state();
  void set_state(GeneratorState state);

 private:
  void advance(std::span<const std::int32_t> ids);
  std::int32_t draw(std::int32_t after);

  Model& model_;
  Sampling sampling_;
  std::uint64_t drawn_ = 0;
  std::int64_t positions_;
  ModelState state_;
  std::int32_t unread_ = -1;  // computed with what follows, so that no logits need be saved
  std::optional<Decoding> decoding_{};  // from state_, once there is a token to draw
};

}  // namespace tern
