// What libtern_cuda.so exports.
#include "core/plugin.h"

#include "cuda/backend/cuda_backend.h"
#include "cuda/backend/device_query.h"
#include "cuda/products/algorithm_table.h"

namespace tern {
namespace {

class CudaPlugin final : public DevicePlugin {
 public:
  int count() override { return cuda::count_devices(); }
  DeviceFacts describe(int device) override { return cuda::describe_device(device); }
  std::unique_ptr<Backend> open(int device, std::size_t slab_bytes) override {
    return std::make_unique<CudaBackend>(device, slab_bytes);
  }
  std::string measure_products(Backend& on, const std::function<void()>& work,
                               const std::function<void(const MeasuredProduct&)>& report) override {
    auto* backend = dynamic_cast<CudaBackend*>(&on);
    check(backend, "[measure_products] expected a backend of this plugin, got ", on.name());
    const cuda::AlgorithmTable table = backend->measure_products(work, report);
    table.write();
    return table.path().string();
  }
};

}  // namespace
}  // namespace tern

extern "C" tern::DevicePlugin* tern_device_plugin() {
  static tern::CudaPlugin plugin;
  return &plugin;
}
