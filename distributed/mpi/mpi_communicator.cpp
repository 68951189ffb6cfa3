// libtern_mpi.so: collective operations on tensors in the host's memory through MPI's non-blocking
// calls, which are polled, so that a rank that is gone is noticed.
#include <mpi.h>
#include <unistd.h>

#include <algorithm>

#include "core/backend.h"
#include "core/plugin.h"

namespace tern {
namespace {

// MPI counts in int.
constexpr std::size_t kMostBytes = std::size_t(1) << 30;
constexpr int kBusyTests = 200;        // before sleeping between two
constexpr useconds_t kPause = 50;      // us; others may need the core
constexpr int kTestsPerQuestion = 20;  // sleeping ones, about a millisecond

void mpi_check(int status, const char* what) {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "?";
  int length = 0;
  MPI_Error_string(status, text, &length);
  fail(Fault::communication, "MPI: ", what, ": ", text);
}

template <DType dtype, Op op>
void combine_here(void* in, void* in_out, int* count, MPI_Datatype*) {
  combine(in_out, in, *count, dtype, op);
}

MPI_Datatype type_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return MPI_DOUBLE;
    case DType::f32:
      return MPI_FLOAT;
    case DType::i32:
      return MPI_INT32_T;
    default:
      return MPI_UINT16_T;
  }
}

MPI_User_function* function_of(DType dtype, Op op) {
  const bool sum = op == Op::sum;
  switch (dtype) {
    case DType::f64:
      return sum ? combine_here<DType::f64, Op::sum> : combine_here<DType::f64, Op::max>;
    case DType::f32:
      return sum ? combine_here<DType::f32, Op::sum> : combine_here<DType::f32, Op::max>;
    case DType::i32:
      return sum ? combine_here<DType::i32, Op::sum> : combine_here<DType::i32, Op::max>;
    case DType::bf16:
      return sum ? combine_here<DType::bf16, Op::sum> : combine_here<DType::bf16, Op::max>;
    default:
      fail(Fault::internal, "[mpi] expected f64, f32, bf16 or i32, got ", dtype);
  }
}

// The same arithmetic as everywhere: MPI's own operations know neither bf16 nor what a NaN means.
MPI_Op operation(DType dtype, Op op) {
  MPI_Op made = MPI_OP_NULL;
  mpi_check(MPI_Op_create(function_of(dtype, op), 1, &made), "MPI_Op_create");
  return made;
}

std::byte* host_address(const Tensor& t) {
  check(t.backend().host_address(t), "[mpi] expected a tensor on the host, got ", t);
  return static_cast<std::byte*>(t.raw());
}

// Requests under way, and the operation that they use.
struct Requests {
  explicit Requests(MPI_Op with = MPI_OP_NULL) : op(with) {}
  Requests(const Requests&) = delete;
  Requests& operator=(const Requests&) = delete;
  ~Requests() {  // requests that were given up stay: MPI_Finalize will not be called either
    if (op != MPI_OP_NULL) MPI_Op_free(&op);
  }
  std::vector<MPI_Request> all{};
  MPI_Op op;
};

void wait_for(Requests& requests, WaitMonitor& monitor) {
  int done = 0;
  for (int test = 0;; ++test) {
    mpi_check(
        MPI_Testall(int(requests.all.size()), requests.all.data(), &done, MPI_STATUSES_IGNORE),
        "MPI_Testall");
    if (done) return;
    if (test < kBusyTests) continue;
    usleep(kPause);
    if (test % kTestsPerQuestion == 0) monitor.poll();
  }
}

Pending pending(std::shared_ptr<Requests> requests, WaitMonitor& monitor) {
  return Pending([requests = std::move(requests), &monitor] {
    const CollectiveScope scope(monitor);
    wait_for(*requests, monitor);
  });
}

// start(address, bytes) for pieces of t that MPI can count
template <class Start>
void in_pieces(const Tensor& t, Requests& to, const char* what, const Start& start) {
  std::byte* const begin = host_address(t);
  for (std::size_t at = 0; at < t.bytes(); at += kMostBytes)
    mpi_check(start(begin + at, std::min(kMostBytes, t.bytes() - at), &to.all.emplace_back()),
              what);
}

int elements(const Tensor& t, std::size_t bytes) {
  return int(bytes * 8 / std::size_t(bits(t.dtype())));
}

class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(WaitMonitor& monitor);  // MPI_Init; Error(Fault::communication)
  ~MpiCommunicator() override;  // MPI_Finalize, which waits for the others; not after abort()
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  Pending all_reduce(const Tensor& t, Op op) override;
  Pending reduce(std::span<const Owned> parts, Op op) override;
  Pending broadcast(std::span<const Owned> parts) override;
  void abort() noexcept override { given_up_ = true; }

 private:
  WaitMonitor& monitor_;
  int rank_ = 0, size_ = 1;
  bool given_up_ = false;
};

MpiCommunicator::MpiCommunicator(WaitMonitor& monitor) : monitor_(monitor) {
  int provided = 0;
  mpi_check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init");
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  mpi_check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
  mpi_check(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
}

MpiCommunicator::~MpiCommunicator() {
  if (!given_up_) MPI_Finalize();
}

Pending MpiCommunicator::all_reduce(const Tensor& t, Op op) {
  const auto requests = std::make_shared<Requests>(operation(t.dtype(), op));
  in_pieces(t, *requests, "MPI_Iallreduce", [&](void* at, std::size_t bytes, MPI_Request* r) {
    return MPI_Iallreduce(MPI_IN_PLACE, at, elements(t, bytes), type_of(t.dtype()), requests->op,
                          MPI_COMM_WORLD, r);
  });
  return pending(requests, monitor_);
}

Pending MpiCommunicator::reduce(std::span<const Owned> parts, Op op) {
  if (parts.empty()) return {};
  const DType dtype = parts[0].t.dtype();
  const auto requests = std::make_shared<Requests>(operation(dtype, op));
  for (const auto& [t, owner] : parts) {
    check(t.dtype() == dtype, "[mpi] reduce: expected parts of one dtype, got ", dtype, " and ", t);
    in_pieces(t, *requests, "MPI_Ireduce",
              [&, own = owner](void* at, std::size_t bytes, MPI_Request* r) {
                const bool here = own == rank_;
                return MPI_Ireduce(here ? MPI_IN_PLACE : at, here ? at : nullptr,
                                   int(bytes * 8 / std::size_t(bits(dtype))), type_of(dtype),
                                   requests->op, own, MPI_COMM_WORLD, r);
              });
  }
  return pending(requests, monitor_);
}

Pending MpiCommunicator::broadcast(std::span<const Owned> parts) {
  const auto requests = std::make_shared<Requests>();
  for (const auto& [t, owner] : parts)
    in_pieces(t, *requests, "MPI_Ibcast",
              [&, own = owner](void* at, std::size_t bytes, MPI_Request* r) {
                return MPI_Ibcast(at, int(bytes), MPI_BYTE, own, MPI_COMM_WORLD, r);
              });
  return pending(requests, monitor_);
}

class MpiPlugin final : public CommunicatorPlugin {
 public:
  std::unique_ptr<Communicator> open(const CommunicatorSetup& setup) override {
    return std::make_unique<MpiCommunicator>(setup.monitor);
  }
};

}  // namespace
}  // namespace tern

extern "C" tern::CommunicatorPlugin* tern_communicator_plugin() {
  static tern::MpiPlugin plugin;
  return &plugin;
}
