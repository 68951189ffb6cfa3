// The MatMul-free language model: embedding, L blocks, norm, ternary head. Names of parameters are
// those of the Hugging Face model type hgrn_bit.            (arXiv 2406.02528)
#pragma once

#include <memory>
#include <optional>

#include "autograd/ops/cross_entropy.h"
#include "core/parameter_pack.h"
#include "layers/block.h"
#include "layers/members.h"
#include "layers/model_config.h"

namespace tern {

// Share of zeros and of flipped codes of one ternary matrix at the last quantisation.
struct TernaryStats {
  std::string name{};
  Index elements = 0;
  double zero_share = 0;  // of all codes
  double flip_rate = 0;   // codes that differ from the previous step's
  double scale = 0;       // 1 / mean |w|
};

struct ModelOptions {
  DType dtype = DType::f32;            // of parameters: f32 or f64
  std::optional<DType> gradients{};    // of parameters' gradients: dtype, or bf16 beside f32
  std::optional<DType> activations{};  // of what products write: dtype, or bf16 beside f32
  std::optional<DType> residual{};     // of the stream that blocks add to: dtype, or bf16
  Index loss_rows = 1024;              // rows of logits that exist at a time
  bool trainable = true;               // allocate gradients
  Recompute recompute = Recompute::none;
  Share share{};        // of the parameters, where several ranks own them
  bool fp8_dx = false;  // gradients by the blocks' inputs from dy rounded to fp8; not in the head
};

class Model {
 public:
  Model(Backend& backend, const ModelConfig& config, const ModelOptions& options);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const ModelConfig& config() const { return config_; }
  Backend& backend() const { return backend_; }
  DType dtype() const { return options_.dtype; }
  DType activations() const { return options_.activations.value_or(options_.dtype); }
  ParameterPack& parameters() { return *pack_; }

  // Sets all that this rank holds as config().init says, a function of (seed, name) alone.
  void initialize(std::uint64_t seed);
  // Makes the ternary working copies of what this rank holds from the latent weights; after every
  // change of those but an optimizer's step, which makes them itself. count: zeros, and flips
  // against the previous copies.
  void quantize(bool count = false);
  // Of the last quantisation that counted, here or in a step; empty: none can, or there are none.
  std::vector<TernaryStats> ternary_stats();

  // ids (B, T) i32 -> logits (B*T, V). state (L, B, D): where to start and, afterwards, where it
  // stopped; empty: from zero.
  Tensor logits(const Pass& pass, const Tensor& ids, const Tensor& state = {});
  // ids, targets (B, T) i32, weight (1): see cross_entropy.
  CrossEntropyOutput loss(const Pass& pass, const Tensor& ids, const Tensor& targets,
                          const Tensor& weight);
  Tensor new_state(Index batch);  // (L, B, D), zeros

  template <class F>
  void members(F&& f) {
    f("model.embeddings.weight", embeddings_);
    if (config_.use_lower_bound) f("model.lower_bounds", lower_bounds_);
    for (std::size_t l = 0; l < blocks_.size(); ++l)
      f("model.layers." + std::to_string(l), blocks_[l]);
    f("model.norm.weight", norm_);
    f("lm_head", lm_head_);
  }

 private:
  QuantizedVar body(const Pass& pass, const Tensor& ids, const Tensor& state);
  Residual run_block(const Pass& pass, Index layer, Residual in, const BlockInput& with);
  Var gate_bounds(Tape* tape);  // (L, D), or empty

  Backend& backend_;
  const ModelConfig config_;
  const ModelOptions options_;
  Parameter embeddings_{}, lower_bounds_{}, norm_{};
  std::vector<Block> blocks_{};
  BitLinear lm_head_{};
  std::unique_ptr<ParameterPack> pack_{};
};

}  // namespace tern
