// What libtern_nccl.so exports.
#include "core/devices.h"
#include "cuda/nccl/nccl_communicator.h"

namespace tern {
namespace {

class NcclPlugin final : public CommunicatorPlugin {
 public:
  std::unique_ptr<Communicator> open(const CommunicatorSetup& setup) override {
    return std::make_unique<NcclCommunicator>(setup);
  }
};

}  // namespace
}  // namespace tern

extern "C" tern::CommunicatorPlugin* tern_communicator_plugin() {
  static tern::NcclPlugin plugin;
  return &plugin;
}
