#include "layers/model_config.h"

#include <array>
#include <cmath>

#include "autograd/ops/product.h"
#include "core/check.h"

namespace tern {

namespace {

struct NamedSize {
  std::string_view name;
  std::int64_t width, layers;
};

constexpr std::array<NamedSize, 3> kSizes = {
    {{"370m", 1024, 24}, {"1.3b", 2048, 24}, {"2.7b", 2560, 32}}};

void require_between(std::string_view key, std::int64_t low, std::int64_t high, std::int64_t got) {
  require(low <= got && got <= high, Fault::usage, "[model] ", key, ": expected ", low, " to ",
          high, ", got ", got);
}

}  // namespace

std::int64_t ModelConfig::glu_width() const {
  if (explicit_glu_width > 0) return explicit_glu_width;
  const std::int64_t wanted = 8 * width / 3;
  return (wanted + 255) / 256 * 256;
}

ModelConfig named_model(std::string_view name) {
  std::string known;
  for (const NamedSize& size : kSizes) {
    if (size.name == name) return {.width = size.width, .layers = size.layers};
    known += (known.empty() ? "" : ", ") + std::string(size.name);
  }
  fail(Fault::usage, "[model] size: expected one of ", known, ", got \"", name, "\"");
}

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const NamedSize& size : kSizes) names.emplace_back(size.name);
  return names;
}

void validate(const ModelConfig& model) {
  require_between("vocab_size", 1, kMaxVocabSize, model.vocab_size);
  require_between("hidden_size", 1, kMaxWidth, model.width);
  require_between("num_hidden_layers", 1, kMaxLayers, model.layers);
  require_between("intermediate_size", 0, kMaxGluWidth, model.explicit_glu_width);
  if (model.quantize == Quantize::ternary)  // sums of products are exact in f32
    require_between("intermediate_size", 1, kMaxExactInputs, model.glu_width());
  require(std::isfinite(model.rms_norm_eps) && model.rms_norm_eps > 0, Fault::usage,
          "[model] rms_norm_eps: expected a number > 0, got ", model.rms_norm_eps);
}

std::int64_t gemm_flop_per_token(const ModelConfig& model) {
  return 6 * count_parameters(model).matrices();
}

}  // namespace tern
