// Collective operations on a CPU's tensors over the control plane's own connections, all through
// rank 0, which adds in the order of ranks. Exact and simple; for tests and small runs: rank 0's
// traffic grows with the number of ranks, and a call returns when it is done.
#pragma once

#include "core/communicator.h"
#include "distributed/control_plane.h"

namespace tern {

class TcpCommunicator final : public Communicator {
 public:
  explicit TcpCommunicator(ControlPlane& control) : control_(control) {}
  int rank() const override { return control_.rank(); }
  int size() const override { return control_.size(); }
  Pending all_reduce(const Tensor& t, Op op) override;
  Pending reduce(std::span<const Owned> parts, Op op) override;
  Pending broadcast(std::span<const Owned> parts) override;
  void abort() noexcept override {}  // nothing is ever under way outside a call

 private:
  enum class Sum { to_all, to_owner };
  void reduce_one(const Tensor& t, Op op, Sum sum, int owner);
  void reduce_piece(std::span<std::byte> piece, DType dtype, Op op, Sum sum, int owner);
  void broadcast_one(const Owned& part);

  ControlPlane& control_;
};

}  // namespace tern
