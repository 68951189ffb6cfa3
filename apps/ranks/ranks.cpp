#include "apps/ranks/ranks.h"

#include <unistd.h>

#include <cstdlib>
#include <string>

#include "apps/ranks/tcp_communicator.h"

namespace tern {
namespace {

// where the launcher listens already, for rank 0
std::unique_ptr<Listener> inherited_listener() {
  const char* number = std::getenv("TERN_LISTENER");
  if (!number) return nullptr;
  auto listener = std::make_unique<Listener>(Descriptor(std::atoi(number)));
  unsetenv("TERN_LISTENER");  // it is nobody else's
  return listener;
}

}  // namespace

Ranks::Ranks(const RanksSetup& setup) {
  Rendezvous how{.seconds = setup.start_timeout};
  if (setup.log) how.log = setup.log;
  if (setup.place.rank == 0) how.listener = inherited_listener();
  control_ =
      std::make_unique<ControlPlane>(setup.place, setup.identity, std::move(how), setup.limits);
  if (setup.place.size == 1) {
    communicator_ = std::make_unique<SelfCommunicator>();
    return;
  }
  communicator_ = std::make_unique<TcpCommunicator>(*control_);
  transport_ = "TCP";
}

void Ranks::leave() {
  if (control_->watch()) control_->watch()->leave();
}

void Ranks::farewell(Fault fault, const std::string& why) {
  if (control_->watch()) control_->watch()->farewell(fault, why);
  communicator_->abort();
}

}  // namespace tern
