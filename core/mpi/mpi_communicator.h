// Collective operations on tensors in the host's memory through MPI's non-blocking calls, which are
// polled: a rank that is gone is noticed instead of waited for.
#pragma once

#include "core/communicator.h"

namespace tern {

class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(Patience& patience);  // MPI_Init; Error(Fault::communication)
  ~MpiCommunicator() override;  // MPI_Finalize, which waits for the others; not after abort()
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  Pending all_reduce(const Tensor& t, Op op) override;
  Pending reduce(std::span<const Owned> parts, Op op) override;
  Pending broadcast(std::span<const Owned> parts) override;
  void abort() noexcept override { given_up_ = true; }

 private:
  Patience& patience_;
  int rank_ = 0, size_ = 1;
  bool given_up_ = false;
};

}  // namespace tern
