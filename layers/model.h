// A language model: embedding, L blocks of a token mixer and a channel mixer, norm, head. Names of
// parameters are those of Hugging Face's model type.             (arXiv 2406.02528)
#pragma once

#include "autograd/ops.h"
#include "layers/family.h"

namespace tern {

struct ModelOptions {
  DType dtype = DType::f32;            // of parameters: f32 or f64
  std::optional<DType> activations{};  // of what products write: dtype, or bf16 beside f32
  std::optional<DType> residual{};     // of the stream that blocks add to: dtype, or bf16
  Index loss_rows = 1024;              // rows of logits that exist at a time
  Recompute recompute = Recompute::none;
  BackwardProducts backward{};  // of the blocks' ternary products; not in the head
};

using ModelState = std::vector<LayerState>;  // of each layer's token mixer

// The states of these sequences of a batch, in this order and perhaps repeated, as a batch of its
// own: copies of rows, as a tensor's leading dimension is the batch. At least one, 0 <= s < batch.
ModelState select(const ModelState& state, std::span<const Index> sequences);

class Model {
 public:
  // Declares the parameters; a ParameterPack or InferenceWeights binds them to memory.
  Model(const ModelConfig& config, const ModelOptions& options);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const ModelConfig& config() const { return config_; }
  const ModelOptions& options() const { return options_; }
  DType activations() const { return options_.activations.value_or(options_.dtype); }
  const std::vector<Parameter*>& parameters() const { return parameters_; }
  Backend& backend() const { return norm_.value.backend(); }  // where weights are bound

  // ids (B, T) i32 -> logits (B*T, V). state: where to start and, afterwards, where it stopped;
  // null: from zero.
  Tensor logits(const Pass& pass, const Tensor& ids, ModelState* state = nullptr);
  // The rows of logits for the last id of each sequence, (B, V): the same bits, or of a dense head
  // the same but for the order in which a product of fewer rows sums. Without a tape.
  Tensor next_logits(const Pass& pass, const Tensor& ids, ModelState* state = nullptr);
  // ids, targets (B, T) i32, weight (1): see cross_entropy.
  CrossEntropyOutput loss(const Pass& pass, const Tensor& ids, const Tensor& targets,
                          const Tensor& weight);
  // Reads ids (B, T) i32 into the state, without logits.
  void advance(const Pass& pass, const Tensor& ids, ModelState& state);
  // ids, targets (B, T) i32 -> of each target (N = B*T), given the ids up to its own place: see
  // token_scores. state: as for logits.
  TokenScores score(const Pass& pass, const Tensor& ids, const Tensor& targets, ModelState* state);
  // zeros; positions: how many will be read, if that is known. A cache of a Transformer has room
  // for them at once, and grows if there are more.
  ModelState new_state(Index batch, Index positions = 0);
  // The tensors of new_state(), of each layer.
  std::vector<std::vector<StateSpec>> state_specs(Index batch, Index positions = 0) const;
  ParameterCount count() const;
  // (L, D) lower bounds of the forget gates; row 0 is not used. Empty: the model has none.
  Tensor gate_bounds() { return gate_bounds(nullptr).value; }
  // From now on passes without a tape use the bounds of today: call it once the weights are loaded,
  // and only if they do not change any more.
  void keep_gate_bounds() { kept_bounds_ = {}, kept_bounds_ = gate_bounds(); }

 private:
  struct Block {
    Parameter token_norm{}, channel_norm{};  // (D)
    std::unique_ptr<Mixer> token{}, channel{};
  };
  void declare();
  QuantizedVar body(const Pass& pass, const Tensor& ids, ModelState* state);
  Tensor head(const Pass& pass, const QuantizedVar& x);
  Residual run_block(const Pass& pass, Index layer, Residual in, const MixerInput& with);
  Residual run(const Pass& pass, Block& block, Residual in, const MixerInput& with);
  Var gate_bounds(Tape* tape);  // (L, D), or empty

  const ModelConfig config_;
  const ModelOptions options_;
  const Family& family_;
  Parameter embeddings_{}, lower_bounds_{}, norm_{};
  std::vector<Block> blocks_{};
  BitLinear lm_head_{};
  std::vector<Parameter*> parameters_{};
  Tensor kept_bounds_{};  // (L, D), or empty: computed in each pass
};

}  // namespace tern
