#include "layers/device_limits.h"

#include "core/check.h"

namespace tern {
namespace {

void require_row(const char* key, std::int64_t value, std::int64_t row,
                 const DeviceTraits& device) {
  require(device.takes_row(row), Fault::usage, key, ": expected rows of at most ", kGpuRow,
          " elements on a GPU, or ", kGpuOddRow, " where they are no multiple of 4, got ", row,
          row == value ? "" : " with precision.backward = \"fp8_dx\"",
          ": choose a smaller model, or --device cpu");
}

}  // namespace

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
