#include "layers/model_config.h"

#include <cmath>

#include "autograd/ops.h"
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

void require_row(const char* key, std::int64_t value, std::int64_t row,
                 const DeviceTraits& device) {
  require(device.takes_row(row), Fault::usage, key, ": expected rows of at most ", kGpuRow,
          " elements on a GPU, or ", kGpuOddRow, " where they are no multiple of 4, got ", row,
          row == value ? "" : " with precision.backward = \"fp8_dx\"",
          ": choose a smaller model, or --device cpu");
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

void require_supported(const ModelConfig& model, bool fp8_dx, const DeviceTraits& device) {
  const std::int64_t D = model.width, H = model.glu_width();
  require_row("model.hidden_size", D, D, device);
  require_row("model.intermediate_size", H, H, device);
  // the gradient of gate and candidate together, rounded to 8-bit floats
  if (fp8_dx) require_row("model.intermediate_size", H, 2 * H, device);
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
