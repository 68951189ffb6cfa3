// Collective operations on tensors of one GPU per process through NCCL, on a stream of their own:
// they run beside the compute stream, behind what it had been given when they were called.
#include <cuda_runtime_api.h>
#include <nccl.h>
#include <sched.h>

#include <cstring>
#include <numeric>

#include "core/backend.h"
#include "core/hex.h"
#include "core/plugin.h"
#include "cuda/backend/host_memory.h"
#include "cuda/common/check.h"

namespace tern {
namespace {

using cuda::cuda_check;
using cuda::Event;

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

[[noreturn]] void failed(const char* what, ncclResult_t status, ncclComm_t comm) {
  fail(Fault::communication, "NCCL: ", what, ": ", ncclGetErrorString(status), ": ",
       ncclGetLastError(comm));
}

ncclDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return ncclFloat64;
    case DType::f32:
      return ncclFloat32;
    case DType::bf16:
      return ncclBfloat16;
    case DType::i32:
      return ncclInt32;
    case DType::i8:
    case DType::e4m3:
    case DType::t2:  // bytes
      return ncclInt8;
  }
  return ncclInt8;
}

ncclRedOp_t operation(Op op) {
  return op == Op::sum ? ncclSum : ncclMax;
}

cudaStream_t stream_of(const Tensor& t) {
  const auto stream = static_cast<cudaStream_t>(t.backend().stream());
  check(stream, "[nccl] expected a tensor on a GPU, got ", t);
  return stream;
}

// Rank 0's id of the group, as hexadecimal digits: text is what CommunicatorSetup::broadcast
// carries.
std::string to_text(const ncclUniqueId& id) {
  return to_hex(std::as_bytes(std::span(id.internal)));
}

ncclUniqueId from_text(const std::string& text) {
  ncclUniqueId id{};
  check(text.size() == 2 * sizeof id.internal, "[nccl] expected an id of ", sizeof id.internal,
        " bytes, got ", text.size() / 2);
  for (std::size_t i = 0; i < sizeof id.internal; ++i)
    id.internal[i] = char(std::stoi(text.substr(2 * i, 2), nullptr, 16));
  return id;
}

Milestones::Milestones() {
  std::vector<std::uint64_t> numbers(kNumbers);
  std::iota(numbers.begin(), numbers.end(), std::uint64_t(0));
  const std::size_t bytes = numbers.size() * sizeof numbers[0];
  cuda_check(cudaMalloc(&numbers_, bytes), "[nccl] device memory");
  cuda_check(cudaMemcpy(numbers_, numbers.data(), bytes, cudaMemcpyHostToDevice), "[nccl] upload");
  std::memset(last_.data(), 0, last_.size());
}

Milestones::~Milestones() {
  if (!cuda::device_lost()) cudaFree(numbers_);
}

void Milestones::add(cudaStream_t stream) {
  const std::uint64_t number = ++added_ % kNumbers;
  cuda_check(cudaMemcpyAsync(last_.data(), numbers_ + number, sizeof number, cudaMemcpyDeviceToHost,
                             stream),
             "[nccl] milestone");
}

// What has been reached is less than kNumbers behind what has been added.
std::uint64_t Milestones::reached() const {
  const std::uint64_t number = *reinterpret_cast<const volatile std::uint64_t*>(last_.data());
  const std::uint64_t added = added_;
  return added - (added - number) % kNumbers;
}

NcclCommunicator::NcclCommunicator(const CommunicatorSetup& setup)
    : monitor_(setup.monitor), rank_(setup.rank), size_(setup.size) {
  ncclUniqueId mine{};
  if (rank_ == 0)
    if (const ncclResult_t s = ncclGetUniqueId(&mine); s != ncclSuccess) failed("id", s, nullptr);
  const ncclUniqueId id = from_text(setup.broadcast(to_text(mine)));
  cuda_check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "[nccl] stream");
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;  // so that a rank that never comes can be given up
  try {
    settle(ncclCommInitRankConfig(&comm_, size_, id, rank_, &config), "meeting the other ranks");
  } catch (...) {
    abort();
    cudaStreamDestroy(stream_);
    throw;
  }
}

NcclCommunicator::~NcclCommunicator() {
  if (cuda::device_lost()) return;
  if (comm_) {
    cudaStreamSynchronize(stream_);
    try {
      settle(ncclCommFinalize(comm_), "leaving");
      ncclCommDestroy(comm_);
    } catch (const Error&) {
      ncclCommAbort(comm_);
    }
  }
  cudaStreamDestroy(stream_);
}

void NcclCommunicator::abort() noexcept {
  if (comm_) ncclCommAbort(comm_);
  comm_ = nullptr;
}

std::uint64_t NcclCommunicator::reached() const {
  return milestones_.reached();
}

void NcclCommunicator::settle(ncclResult_t status, const char* what) {
  while (status == ncclInProgress) {
    if (const ncclResult_t asked = ncclCommGetAsyncError(comm_, &status); asked != ncclSuccess)
      status = asked;
    if (status != ncclInProgress) break;
    monitor_.poll();
    sched_yield();
  }
  if (status != ncclSuccess) failed(what, status, comm_);
}

template <class Start>
Pending NcclCommunicator::run(const char* what, const Tensor& compute, const Start& start) {
  check(comm_, "[nccl] ", what, ": this communicator has been given up");
  const cudaStream_t from = stream_of(compute);
  Event given;
  given.record(from);
  given.make_stream_wait(stream_);
  milestones_.add(stream_);
  ncclGroupStart();
  start();
  settle(ncclGroupEnd(), what);
  const auto done = std::make_shared<Event>();
  done->record(stream_);
  return Pending([done, from] { done->make_stream_wait(from); });
}

Pending NcclCommunicator::all_reduce(const Tensor& t, Op op) {
  return run("all-reduce", t, [&] {
    ncclAllReduce(t.raw(), t.raw(), std::size_t(t.elements()), type_of(t.dtype()), operation(op),
                  comm_, stream_);
  });
}

Pending NcclCommunicator::reduce(std::span<const Owned> parts, Op op) {
  if (parts.empty()) return {};
  return run("reduce", parts[0].t, [&] {
    for (const auto& [t, owner] : parts)
      ncclReduce(t.raw(), t.raw(), std::size_t(t.elements()), type_of(t.dtype()), operation(op),
                 owner, comm_, stream_);
  });
}

Pending NcclCommunicator::broadcast(std::span<const Owned> parts) {
  if (parts.empty()) return {};
  return run("broadcast", parts[0].t, [&] {
    for (const auto& [t, owner] : parts)
      ncclBroadcast(t.raw(), t.raw(), t.bytes(), ncclInt8, owner, comm_, stream_);
  });
}

class NcclPlugin final : public CommunicatorPlugin {
 public:
  std::unique_ptr<Communicator> open(const CommunicatorSetup& setup) override {
    return std::make_unique<NcclCommunicator>(setup);
  }
};

}  // namespace
}  // namespace tern

// What libtern_nccl.so exports.
extern "C" tern::CommunicatorPlugin* tern_communicator_plugin() {
  static tern::NcclPlugin plugin;
  return &plugin;
}
