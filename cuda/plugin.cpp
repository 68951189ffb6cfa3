// What libtern_cuda.so exports.
#include "core/devices.h"
#include "cuda/cuda_backend.h"
#include "cuda/device_query.h"

namespace tern {
namespace {

class CudaPlugin final : public DevicePlugin {
 public:
  int count() override { return cuda::count_devices(); }
  DeviceFacts describe(int device) override { return cuda::describe_device(device); }
  std::unique_ptr<Backend> open(int device, std::size_t slab_bytes) override {
    return std::make_unique<CudaBackend>(device, slab_bytes);
  }
};

}  // namespace
}  // namespace tern

extern "C" tern::DevicePlugin* tern_device_plugin() {
  static tern::CudaPlugin plugin;
  return &plugin;
}
