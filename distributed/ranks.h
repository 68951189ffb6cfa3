// All that one process of several needs to work with the others: the control plane and the
// communicator that suits the launcher.
#pragma once

#include <memory>

#include "core/communicator.h"
#include "core/plugin.h"
#include "distributed/control_plane.h"

namespace tern {

struct RanksSetup {
  RankPlace place{};
  Identity identity{};
  std::string device_plugin{};  // its file; empty: none
  bool gpu = false;             // whether tensors are on one
  double start_timeout = 300;   // seconds
  DetectorOptions detector{};
  std::function<void(const std::string&)> log{};  // of what comes to rank 0's port
};

class Ranks {
 public:
  explicit Ranks(
      const RanksSetup& setup);  // errors as ControlPlane, and Fault::usage on GPUs without NCCL
  ~Ranks();
  ControlPlane& control() { return *control_; }
  Communicator& communicator() { return *communicator_; }
  const std::string& transport() const { return transport_; }  // "TCP", for people

  // The end of this process, told to the others: all is well, or why not.
  void leave();
  void farewell(Fault fault, const std::string& why);

 private:
  // Forwards to the control plane once there is one; until then monitor lasts start_timeout.
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

  Plugin open_mpi(RankPlace& place, Rendezvous& how);
  void open_nccl(const Plugin& plugin);

  Relay relay_;
  std::unique_ptr<ControlPlane> control_{};
  std::unique_ptr<Communicator> mpi_{};  // on GPUs under mpirun: it carried rank 0's address
  std::unique_ptr<Communicator> communicator_{};
  std::string transport_ = "none";
};

}  // namespace tern
