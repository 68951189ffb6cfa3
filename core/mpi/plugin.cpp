// What libtern_mpi.so exports.
#include "core/devices.h"
#include "core/mpi/mpi_communicator.h"

namespace tern {
namespace {

class MpiPlugin final : public CommunicatorPlugin {
 public:
  std::unique_ptr<Communicator> open(const CommunicatorSetup& setup) override {
    return std::make_unique<MpiCommunicator>(setup.patience);
  }
};

}  // namespace
}  // namespace tern

extern "C" tern::CommunicatorPlugin* tern_communicator_plugin() {
  static tern::MpiPlugin plugin;
  return &plugin;
}
