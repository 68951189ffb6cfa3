// Collective operations on tensors of one GPU per process through NCCL, on a stream of their own:
// they run beside the compute stream, behind what it had been given when they were called.
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <atomic>
#include <cstdint>

#include "core/devices.h"
#include "cuda/backend/host_memory.h"

namespace tern {

// How far a stream has come, in memory that the host may read at any time, without a call to the
// driver: another thread may be blocked in one.
class Milestones {
 public:
  Milestones();
  ~Milestones();
  void add(cudaStream_t stream);  // one more, behind all that the stream has been given
  std::uint64_t reached() const;  // so far

 private:
  static constexpr std::uint64_t kNumbers = 4096;  // more than are ever on their way
  std::uint64_t* numbers_ = nullptr;               // 0, 1, ... on the device
  cuda::PinnedMemory last_{sizeof(std::uint64_t)};
  std::atomic<std::uint64_t> added_{0};
};

class NcclCommunicator final : public Communicator {
 public:
  // Meets the others. The device that is current for this thread; Error(Fault::communication).
  explicit NcclCommunicator(const CommunicatorSetup& setup);
  ~NcclCommunicator() override;  // waits for the others; not after abort()
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  Pending all_reduce(const Tensor& t, Op op) override;
  Pending reduce(std::span<const Owned> parts, Op op) override;
  Pending broadcast(std::span<const Owned> parts) override;
  void abort() noexcept override;
  std::uint64_t reached() const override;

 private:
  // start() gives the library one call or a group of them, behind the stream of `compute`
  template <class Start>
  Pending run(const char* what, const Tensor& compute, const Start& start);
  // The library works in the background: until it has taken the call. Throws if it has failed.
  void settle(ncclResult_t status, const char* what);

  WaitMonitor& monitor_;
  int rank_, size_;
  ncclComm_t comm_ = nullptr;
  cudaStream_t stream_ = nullptr;
  Milestones milestones_{};
};

}  // namespace tern
