#include "apps/ranks/ranks.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>

#include "apps/ranks/tcp_communicator.h"
#include "apps/run/pace.h"
#include "core/cpu/cpu_backend.h"
#include "core/devices.h"

namespace tern {
namespace {

void nothing(const std::string&) {}

// where the launcher listens already, for rank 0
std::unique_ptr<Listener> inherited_listener() {
  const char* number = std::getenv("TERN_LISTENER");
  if (!number) return nullptr;
  auto listener = std::make_unique<Listener>(Descriptor(std::atoi(number)));
  unsetenv("TERN_LISTENER");  // it is nobody else's
  return listener;
}

// MPI's own parts are opened later and look for its symbols everywhere. Null without the plugin.
CommunicatorPlugin* find_mpi(const std::function<void(const std::string&)>& log) {
  void* library = dlopen("libtern_mpi.so", RTLD_NOW | RTLD_GLOBAL);
  if (!library) {
    log(std::string("without MPI, over TCP: ") + dlerror());
    return nullptr;
  }
  auto* make =
      reinterpret_cast<CommunicatorPlugin* (*)()>(dlsym(library, "tern_communicator_plugin"));
  check(make, "[ranks] libtern_mpi.so: expected tern_communicator_plugin in it");
  return make();
}

// Rank 0's "host port", carried by MPI: no address need be known before.
void exchange_address(Communicator& mpi, RankPlace& place, Rendezvous& how) {
  constexpr Index kLongest = 512;
  CpuBackend backend(1 << 16);
  const Tensor text(backend, {kLongest}, DType::i8);
  char* const chars = static_cast<char*>(text.raw());
  if (place.rank == 0) {
    if (place.one_machine())
      place.host = "127.0.0.1";
    else
      gethostname(chars, std::size_t(kLongest) - 1), place.host = chars;
    how.listener = std::make_unique<Listener>(place.host, 0);
    std::snprintf(chars, std::size_t(kLongest), "%s %d", place.host.c_str(), how.listener->port());
  }
  const Owned part{.t = text, .owner = 0};
  mpi.broadcast({&part, 1}).wait();
  std::istringstream(std::string(chars)) >> place.host >> place.port;
}

}  // namespace

Ranks::Relay::Relay(double seconds) : deadline_(monotonic_seconds() + seconds) {}

void Ranks::Relay::begin() {
  if (to) to->begin();
}

void Ranks::Relay::waiting() {
  if (to) return to->waiting();
  require(monotonic_seconds() < deadline_, Fault::communication,
          "the ranks did not meet in time: MPI cannot carry rank 0's address to all of them");
}

void Ranks::Relay::end() noexcept {
  if (to) to->end();
}

Ranks::Ranks(const RanksSetup& setup) : relay_(setup.start_timeout) {
  RankPlace place = setup.place;
  require(place.size == 1 || !setup.gpu, Fault::usage,
          "--device cuda: several ranks train on CPUs only so far");
  Rendezvous how{.seconds = setup.start_timeout, .log = setup.log ? setup.log : nothing};
  if (place.rank == 0) how.listener = inherited_listener();
  if (place.size == 1) {
    communicator_ = std::make_unique<SelfCommunicator>();
  } else if (place.launcher == "Open MPI") {
    open_mpi(place, how);
    require(!place.host.empty(), Fault::usage, "Open MPI says rank ", place.rank, " of ",
            place.size, " but not where rank 0 is: set MASTER_ADDR and MASTER_PORT");
  }
  try {
    control_ = std::make_unique<ControlPlane>(place, setup.identity, std::move(how), setup.limits);
  } catch (...) {
    if (communicator_) communicator_->abort();
    throw;
  }
  relay_.to = control_.get();
  if (communicator_) return;
  communicator_ = std::make_unique<TcpCommunicator>(*control_);
  transport_ = "TCP";
}

void Ranks::open_mpi(RankPlace& place, Rendezvous& how) {
  CommunicatorPlugin* const plugin = find_mpi(place.rank == 0 ? how.log : nothing);
  if (!plugin) return;
  communicator_ = plugin->open(relay_);
  transport_ = "MPI";
  exchange_address(*communicator_, place, how);
}

void Ranks::leave() {
  if (control_->watch()) control_->watch()->leave();
}

void Ranks::farewell(Fault fault, const std::string& why) {
  if (control_->watch()) control_->watch()->farewell(fault, why);
  communicator_->abort();
}

}  // namespace tern
