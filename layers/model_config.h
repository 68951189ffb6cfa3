// The numbers that define a model (D, L, H, V: docs/notation.md) and what follows from them:
// parameter counts and FLOP per token. The comments give each field's Hugging Face name in files.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/device_traits.h"
#include "core/kernels/product.h"

namespace tern {

// Limits on what a file may ask for, so that no size computed from them overflows.
inline constexpr std::int64_t kMaxVocabSize = 1'000'000;
inline constexpr std::int64_t kMaxLayers = 1024;
inline constexpr std::int64_t kMaxWidth = 65'536;
inline constexpr std::int64_t kMaxGluWidth = 4 * kMaxWidth;

enum class Quantize { ternary, none };  // none: the float control experiment
// ternary: queries and keys are rounded to ternary too
enum class AttentionKind { dense, ternary };
enum class Init { reference, normal };  // normal: every matrix and the embedding N(0, 0.02)

// What is computed again in backward rather than kept, with the same bits. norms: the inputs of
// products behind a norm; cheap: norms, quantisers and the scan, no product; full: blocks, from
// their inputs.
enum class Recompute { none, norms, cheap, full };

struct ModelConfig {
  std::string type = "matmulfree";      //    a row of layers/family.h
  std::int64_t vocab_size = 32'000;     // V  vocab_size
  std::int64_t width = 0;               // D  hidden_size
  std::int64_t layers = 0;              // L  num_hidden_layers
  std::int64_t explicit_glu_width = 0;  //    intermediate_size, 0: by the formula of glu_width()
  bool use_lower_bound = true;          //    use_lower_bound
  bool use_output_gate = true;          //    use_output_gate, of MLGRU
  double rms_norm_eps = 1e-6;           //    rms_norm_eps
  std::int64_t explicit_heads = 0;      //    num_attention_heads, 0: by the formula of heads()
  double rope_theta = 10'000;           //    rope_theta, base of the rotary wave lengths
  AttentionKind attention = AttentionKind::dense;
  Quantize quantize = Quantize::ternary;
  Init init = Init::reference;

  // H: what was asked for, else 256 * ceil(int(8 D / 3) / 256)
  std::int64_t glu_width() const;
  // of attention: what was asked for, else heads of 128 channels, of 64 if D < 1024
  std::int64_t heads() const;

  bool operator==(const ModelConfig&) const = default;
};

// "370m", "1.3b" or "2.7b", the published sizes, or "13b", the width and layers of LLaMA-13B;
// Fault::usage for another name
ModelConfig named_model(std::string_view name);
std::vector<std::string> model_names();

// What a model of this family cannot be: the key, and what was expected of it; nullopt: nothing.
struct ModelProblem {
  std::string key, expected;  // "num_attention_heads"
};
std::optional<ModelProblem> family_problem(const ModelConfig& model);
// Fault::usage unless every number is positive and within the limits above, and the family can be
// so
void validate(const ModelConfig& model);

struct ParameterCount {
  std::int64_t embedding = 0;      // V D
  std::int64_t token_mixer = 0;    // its matrices; of MLGRU: i, f, g, o projections, 4 D^2 a layer
  std::int64_t channel_mixer = 0;  // its matrices; of the GLU: 3 D H a layer
  std::int64_t head = 0;           // V D
  std::int64_t norms = 0;          // block norms and those that each projection owns
  std::int64_t lower_bounds = 0;   // L D, or none

  std::int64_t body() const { return token_mixer + channel_mixer; }  // the blocks' matrices
  std::int64_t matrices() const { return body() + head; }  // all that BitLinear multiplies by
  std::int64_t total() const { return embedding + matrices() + norms + lower_bounds; }
};

// of the parameters that such a model declares (layers/model.cpp)
ParameterCount count_parameters(const ModelConfig& model);

// Products only, forward and backward: 6 FLOP per token and weight that is multiplied.
std::int64_t gemm_flop_per_token(const ModelConfig& model);
// Causal attention on sequences of T tokens, forward and backward: 6 L D T per token, the mean over
// the sequence; what the forward pass is computed again for in backward is not counted. 0 without
// attention.
std::int64_t attention_flop_per_token(const ModelConfig& model, std::int64_t context);
// of both
double flop_per_token(const ModelConfig& model, std::int64_t context);

// What a device's kernels ask of the sizes of a model.

// Fault::usage naming the key if a model of these sizes cannot be computed on the device.
void require_supported(const ModelConfig& model, BackwardProducts backward,
                       const DeviceTraits& device);

// Which keys have values that the device computes slowly, and what is fast; empty: none.
std::string slow_sizes(const ModelConfig& model, const DeviceTraits& device);

}  // namespace tern
