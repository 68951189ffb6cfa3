#include "distributed/ranks.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "core/clock.h"
#include "core/cpu/cpu_backend.h"
#include "core/plugin.h"
#include "data/io/files.h"
#include "data/io/hash.h"
#include "distributed/tcp_communicator.h"

namespace tern {
namespace {

void nothing(const std::string&) {}

// on rank 0, the socket that the launcher has opened
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

// One hash of all plugins' files; empty without plugins.
std::string hash_of_files(const std::vector<std::string>& paths) {
  constexpr std::uint64_t kLongest = std::uint64_t(4) << 30;
  std::string all;
  for (const std::string& path : paths)
    if (!path.empty()) all += hash_hex(bytes_of(read_file(path, kLongest, Links::follow)));
  return all.empty() ? "" : hash_hex(bytes_of(all));
}

// Sends rank 0's "host port" over MPI, so that no address need be set.
void exchange_address(Communicator& mpi, RankInfo& info, RendezvousOptions& how) {
  constexpr Index kLongest = 512;
  CpuBackend backend(1 << 16);
  const Tensor text(backend, {kLongest}, DType::i8);
  char* const chars = static_cast<char*>(text.raw());
  if (info.rank == 0) {
    if (info.one_machine())
      info.host = "127.0.0.1";
    else
      gethostname(chars, std::size_t(kLongest) - 1), info.host = chars;
    how.listener = std::make_unique<Listener>(info.host, 0, callers_of(info));
    std::snprintf(chars, std::size_t(kLongest), "%s %d", info.host.c_str(), how.listener->port());
  }
  const Owned part{.t = text, .owner = 0};
  mpi.broadcast({&part, 1}).wait();
  std::istringstream(std::string(chars)) >> info.host >> info.port;
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
  RankInfo info = setup.info;
  RendezvousOptions how{.seconds = setup.start_timeout, .log = setup.log ? setup.log : nothing};
  if (info.rank == 0) how.listener = inherited_listener();
  Plugin nccl, mpi;
  if (info.size == 1) {
    communicator_ = std::make_unique<SelfCommunicator>();
  } else if (info.launcher == "Open MPI") {
    mpi = open_mpi(info, how);
    require(!info.host.empty(), Fault::usage, "Open MPI says rank ", info.rank, " of ", info.size,
            " but not where rank 0 is: set MASTER_ADDR and MASTER_PORT");
  }
  if (setup.gpu && info.size > 1) nccl = find_communicator("libtern_nccl.so", RTLD_LOCAL);
  try {
    Identity identity = setup.identity;
    identity.plugins = hash_of_files({setup.device_plugin, nccl.path, mpi.path});
    control_ = std::make_unique<ControlPlane>(info, identity, std::move(how), setup.detector);
    relay_.to = control_.get();
    if (setup.gpu && info.size > 1) open_nccl(nccl);
  } catch (const Error& e) {
    announce_failure(e.fault, e.what());
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
  communicator_ =
      made_by(plugin, {.monitor = *control_,
                       .rank = control_->rank(),
                       .size = control_->size(),
                       .broadcast = [&](const std::string& t) { return control_->broadcast(t); }});
  transport_ = "NCCL";
  control_->failure_detector()->follow([nccl = communicator_.get()] { return nccl->reached(); });
}

Ranks::~Ranks() {
  if (control_ && control_->failure_detector()) control_->failure_detector()->follow({});
}

// RTLD_GLOBAL: MPI opens its own components later, and they look up its symbols in all libraries.
Plugin Ranks::open_mpi(RankInfo& info, RendezvousOptions& how) {
  Plugin plugin = find_communicator("libtern_mpi.so", RTLD_GLOBAL);
  if (!plugin.factory && info.rank == 0) how.log("without MPI, over TCP: " + plugin.why);
  if (!plugin.factory) return plugin;
  communicator_ = made_by(plugin, {.monitor = relay_});
  transport_ = "MPI";
  exchange_address(*communicator_, info, how);
  return plugin;
}

void Ranks::announce_exit() {
  if (control_->failure_detector()) control_->failure_detector()->announce_exit();
}

void Ranks::announce_failure(Fault fault, const std::string& why) {
  if (control_ && control_->failure_detector())
    control_->failure_detector()->announce_failure(fault, why);
  for (Communicator* c : {communicator_.get(), mpi_.get()})
    if (c) c->abort();
}

}  // namespace tern
