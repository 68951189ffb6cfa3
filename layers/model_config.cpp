#include "layers/model_config.h"

#include <cmath>

#include "autograd/ops.h"
#include "core/check.h"
#include "layers/family.h"

namespace tern {
namespace {

struct NamedSize {
  std::string_view name;
  std::int64_t width, layers;
};

constexpr std::array<NamedSize, 4> kSizes = {
    {{"370m", 1024, 24}, {"1.3b", 2048, 24}, {"2.7b", 2560, 32}, {"13b", 5120, 40}}};

void require_between(std::string_view key, std::int64_t low, std::int64_t high, std::int64_t got) {
  require(low <= got && got <= high, Fault::usage, "[model] ", key, ": expected ", low, " to ",
          high, ", got ", got);
}

void require_row(const char* key, std::int64_t value, std::int64_t row,
                 const DeviceTraits& device) {
  require(device.takes_row(row), Fault::usage, key, ": expected rows of at most ", kGpuRow,
          " elements on a GPU, or ", kGpuOddRow, " where they are no multiple of 4, got ", row,
          row == value ? "" : " with precision.backward = \"fp8_dx\" or \"fp8\"",
          ": choose a smaller model, or --device cpu");
}

}  // namespace

std::int64_t ModelConfig::glu_width() const {
  if (explicit_glu_width > 0) return explicit_glu_width;
  const std::int64_t wanted = 8 * width / 3;
  return (wanted + 255) / 256 * 256;
}

std::int64_t ModelConfig::heads() const {
  if (explicit_heads > 0) return explicit_heads;
  return std::max<std::int64_t>(1, width / (width < 1024 ? 64 : 128));
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

std::optional<ModelProblem> family_problem(const ModelConfig& model) {
  const ModelConfig by_default;
  const Family& family = family_of(model.type);
  const std::string of_type = " with type = \"" + model.type + "\", which has no ";
  if (!family.lower_bounds && !model.use_lower_bound)
    return ModelProblem{"use_lower_bound", "expected no value" + of_type + "forget gates"};
  if (!family.output_gate && !model.use_output_gate)
    return ModelProblem{"use_output_gate", "expected no value" + of_type + "output gate"};
  if (!family.attention) {
    const std::string expected = "expected no value" + of_type + "attention";
    if (model.explicit_heads != 0) return ModelProblem{"num_attention_heads", expected};
    if (model.rope_theta != by_default.rope_theta) return ModelProblem{"rope_theta", expected};
    if (model.attention != by_default.attention) return ModelProblem{"attention", expected};
    return std::nullopt;
  }
  const std::int64_t heads = model.heads();
  if (heads < 1 || model.width % (2 * heads) != 0)
    return ModelProblem{
        "num_attention_heads",
        "expected a number of heads that share hidden_size = " + std::to_string(model.width) +
            " in equal, even parts, got " + std::to_string(heads) +
            (model.explicit_heads > 0 ? "" : " by default: choose another")};
  if (model.attention == AttentionKind::ternary && model.quantize == Quantize::none)
    return ModelProblem{"attention",
                        "expected \"dense\" with quantize = \"none\": \"ternary\" rounds queries "
                        "and keys of the ternary model"};
  return std::nullopt;
}

void validate(const ModelConfig& model) {
  require_between("vocab_size", 1, kMaxVocabSize, model.vocab_size);
  require_between("hidden_size", 1, kMaxWidth, model.width);
  require_between("num_hidden_layers", 1, kMaxLayers, model.layers);
  require_between("intermediate_size", 0, kMaxGluWidth, model.explicit_glu_width);
  if (model.quantize == Quantize::ternary)  // sums of products are exact in f32
    require_between("intermediate_size", 1, kMaxExactInputs, model.glu_width());
  require(std::isfinite(model.rope_theta) && model.rope_theta > 0, Fault::usage,
          "[model] rope_theta: expected a number > 0, got ", model.rope_theta);
  if (const auto problem = family_problem(model))
    fail(Fault::usage, "[model] ", problem->key, ": ", problem->expected);
  require(std::isfinite(model.rms_norm_eps) && model.rms_norm_eps > 0, Fault::usage,
          "[model] rms_norm_eps: expected a number > 0, got ", model.rms_norm_eps);
}

std::int64_t gemm_flop_per_token(const ModelConfig& model) {
  return 6 * count_parameters(model).matrices();
}

std::int64_t attention_flop_per_token(const ModelConfig& model, std::int64_t context) {
  return family_of(model.type).attention ? 6 * model.layers * model.width * context : 0;
}

double flop_per_token(const ModelConfig& model, std::int64_t context) {
  return double(gemm_flop_per_token(model) + attention_flop_per_token(model, context));
}

void require_supported(const ModelConfig& model, BackwardProducts backward,
                       const DeviceTraits& device) {
  const std::int64_t D = model.width, H = model.glu_width();
  require_row("model.hidden_size", D, D, device);
  require_row("model.intermediate_size", H, H, device);
  // the gradient of gate and candidate together, rounded to 8-bit floats
  if (rounds_dx(backward) && family_of(model.type).joint_glu)
    require_row("model.intermediate_size", H, 2 * H, device);
}

std::string slow_sizes(const ModelConfig& model, const DeviceTraits& device) {
  if (!device.is_gpu() || model.quantize == Quantize::none) return {};
  std::string keys;
  const auto add = [&](const char* key, std::int64_t size) {
    if (size % kGpuCodes == 0) return;
    keys += (keys.empty() ? "" : ", ") + std::string(key) + " = " + std::to_string(size);
  };
  add("model.hidden_size", model.width);
  add("model.intermediate_size", model.glu_width());
  if (keys.empty()) return {};
  return keys + ": no multiple of " + std::to_string(kGpuCodes) +
         ", so its ternary products take slow kernels on this GPU";
}

}  // namespace tern
