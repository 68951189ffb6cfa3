// Entry of one process into a group of ranks: opens the control plane, and the communicator that
// suits the launcher.
#pragma once

#include "core/communicator.h"
#include "core/plugin.h"
#include "distributed/control_plane.h"

namespace tern {

struct RanksSetup {
  RankInfo info{};
  Identity identity{};
  std::string device_plugin{};  // path; empty: none
  bool gpu = false;             // tensors are on a GPU
  double start_timeout = 300;   // seconds
  DetectorOptions detector{};
  std::function<void(const std::string&)> log{};  // events at rank 0's port
};

class Ranks {
 public:
  // Errors as ControlPlane, and Fault::usage on GPUs without NCCL.
  explicit Ranks(const RanksSetup& setup);
  ~Ranks();
  ControlPlane& control() { return *control_; }
  Communicator& communicator() { return *communicator_; }
  const std::string& transport() const { return transport_; }  // "none", "TCP", "MPI", "NCCL"

  // To the other ranks: this process ends, without a failure or with one.
  void announce_exit();
  void announce_failure(Fault fault, const std::string& why);

 private:
  // Forwards to the control plane once it is open. Before that, poll() gives up after
  // start_timeout.
  class Relay final : public WaitMonitor {
   public:
    explicit Relay(double seconds);
    void begin() override;
    void poll() override;
    void end() noexcept override;
    ControlPlane* to = nullptr;

   private:
    double deadline_;
  };

  Plugin open_mpi(RankInfo& info, RendezvousOptions& how);
  void open_nccl(const Plugin& plugin);

  Relay relay_;
  std::unique_ptr<ControlPlane> control_{};
  std::unique_ptr<Communicator> mpi_{};  // on GPUs under mpirun: it carried rank 0's address
  std::unique_ptr<Communicator> communicator_{};
  std::string transport_ = "none";
};

}  // namespace tern
