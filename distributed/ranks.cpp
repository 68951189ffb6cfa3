#include "distributed/ranks.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/cpu/cpu_backend.h"
#include "core/devices.h"
#include "data/io/files.h"
#include "data/io/hash.h"
#include "distributed/tcp_communicator.h"

namespace tern {
namespace {

void nothing(const std::string&) {}

// where the launcher listens already, for rank 0
std::unique_ptr<Listener> inherited_listener() {
  const char* number = std::getenv("TERN_LISTENER");
  if (!number) return nullptr;
  auto listener = std::make_unique<Listener>(Descriptor(std::atoi(number)));
  unsetenv("TERN_LISTENER");  // for this process only
  return listener;
}

Plugin find_communicator(const char* file, int mode) {
  return open_plugin(file, "tern_communicator_plugin", mode);
}

std::unique_ptr<Communicator> made_by(const Plugin& plugin, const CommunicatorSetup& setup) {
  return reinterpret_cast<CommunicatorPlugin* (*)()>(plugin.factory)()->open(setup);
}

// of the files of all plugins; of none: empty
std::string hash_of_files(const std::vector<std::string>& paths) {
  constexpr std::uint64_t kLongest = std::uint64_t(4) << 30;
  std::string all;
  for (const std::string& path : paths)
    if (!path.empty()) all += hash_hex(bytes_of(read_file(path, kLongest, Links::follow)));
  return all.empty() ? "" : hash_hex(bytes_of(all));
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
    how.listener = std::make_unique<Listener>(place.host, 0, callers_of(place));
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

void Ranks::Relay::poll() {
  if (to) return to->poll();
  require(
      monotonic_seconds() < deadline_, Fault::communication,
      "the ranks did not find each other in time: MPI cannot send rank 0's address to all of them");
}

void Ranks::Relay::end() noexcept {
  if (to) to->end();
}

Ranks::Ranks(const RanksSetup& setup) : relay_(setup.start_timeout) {
  RankPlace place = setup.place;
  Rendezvous how{.seconds = setup.start_timeout, .log = setup.log ? setup.log : nothing};
  if (place.rank == 0) how.listener = inherited_listener();
  Plugin nccl, mpi;
  if (place.size == 1) {
    communicator_ = std::make_unique<SelfCommunicator>();
  } else if (place.launcher == "Open MPI") {
    mpi = open_mpi(place, how);
    require(!place.host.empty(), Fault::usage, "Open MPI says rank ", place.rank, " of ",
            place.size, " but not where rank 0 is: set MASTER_ADDR and MASTER_PORT");
  }
  if (setup.gpu && place.size > 1) nccl = find_communicator("libtern_nccl.so", RTLD_LOCAL);
  try {
    Identity identity = setup.identity;
    identity.plugins = hash_of_files({setup.device_plugin, nccl.path, mpi.path});
    control_ = std::make_unique<ControlPlane>(place, identity, std::move(how), setup.detector);
    relay_.to = control_.get();
    if (setup.gpu && place.size > 1) open_nccl(nccl);
  } catch (const Error& e) {
    farewell(e.fault, e.what());
    throw;
  }
  if (communicator_) return;
  communicator_ = std::make_unique<TcpCommunicator>(*control_);
  transport_ = "TCP";
}

void Ranks::open_nccl(const Plugin& plugin) {
  require(plugin.factory, Fault::usage, "several ranks on GPUs need NCCL: ", plugin.why,
          " (and a build that found nccl.h)");
  mpi_ = std::move(communicator_);
  const CollectiveScope scope(*control_);
  communicator_ = made_by(
      plugin, {.monitor = *control_,
               .rank = control_->rank(),
               .size = control_->size(),
               .from_first = [&](const std::string& t) { return control_->from_first(t); }});
  transport_ = "NCCL";
  control_->watch()->follow([nccl = communicator_.get()] { return nccl->reached(); });
}

Ranks::~Ranks() {
  if (control_ && control_->watch()) control_->watch()->follow({});
}

// MPI's own parts are opened later and look for its symbols everywhere.
Plugin Ranks::open_mpi(RankPlace& place, Rendezvous& how) {
  Plugin plugin = find_communicator("libtern_mpi.so", RTLD_GLOBAL);
  if (!plugin.factory && place.rank == 0) how.log("without MPI, over TCP: " + plugin.why);
  if (!plugin.factory) return plugin;
  communicator_ = made_by(plugin, {.monitor = relay_});
  transport_ = "MPI";
  exchange_address(*communicator_, place, how);
  return plugin;
}

void Ranks::leave() {
  if (control_->watch()) control_->watch()->leave();
}

void Ranks::farewell(Fault fault, const std::string& why) {
  if (control_ && control_->watch()) control_->watch()->farewell(fault, why);
  for (Communicator* c : {communicator_.get(), mpi_.get()})
    if (c) c->abort();
}

}  // namespace tern
