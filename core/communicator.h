// Collective operations on the tensors of several processes that train one model. Every rank makes
// the same calls in the same order with the same sizes; an element's terms are added in an order
// that depends on sizes and ranks alone, so results have the same bits every time.
#pragma once

#include <functional>
#include <span>
#include <utility>

#include "core/tensor.h"

namespace tern {

enum class Op { sum, max };

// An operation in flight. The tensors must not change until wait() has returned.
class [[nodiscard]] Pending {
 public:
  Pending() = default;  // complete
  explicit Pending(std::function<void()> wait) : wait_(std::move(wait)) {}

  // Work given to the compute stream from now on runs after the operation. Where the stream is the
  // calling thread, this call blocks. Error(Fault::communication) if the operation cannot finish.
  void wait() {
    if (const auto wait = std::exchange(wait_, nullptr)) wait();
  }

 private:
  std::function<void()> wait_{};
};

// A tensor and the rank whose value it is.
struct Owned {
  Tensor t{};
  int owner = 0;
};

// Training needs three operations. all_reduce: sums that every rank uses (loss, norm, gradients).
// reduce and broadcast: sums that one rank uses, and its results for all ranks (the update of a
// matrix by its owner, the state of a run that rank 0 has read).
// Parts are whole matrices of unequal sizes, so that an all-gather would need padding; a call takes
// many, and a library that can group messages does.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;  // 0 .. size - 1
  virtual int size() const = 0;

  // t: in, a term; out, the sum or the maximum over all ranks, on every rank. f64, f32, bf16
  // (rounded after every addition), i32.
  virtual Pending all_reduce(const Tensor& t, Op op) = 0;
  // The same, with the result on each part's owner only; elsewhere the part's content is lost.
  virtual Pending reduce(std::span<const Owned> parts, Op op) = 0;
  // Copies each part from its owner to every rank; any dtype.
  virtual Pending broadcast(std::span<const Owned> parts) = 0;

  // Number of operations that the device has started, where it starts them later than the call: a
  // device that hangs starts fewer than the others. For any thread.
  virtual std::uint64_t reached() const { return 0; }

  // Gives up operations in flight: other ranks may be gone. Call nothing afterwards.
  virtual void abort() noexcept = 0;
};

// Observer of operations that wait for other ranks. Decides when to give up.
class WaitMonitor {
 public:
  virtual ~WaitMonitor() = default;
  virtual void begin() = 0;  // an operation begins
  virtual void poll() = 0;   // called repeatedly while it waits; throws to give up
  virtual void end() noexcept = 0;
};

// Marks an operation as begun, from here to the end of the scope.
class CollectiveScope {
 public:
  explicit CollectiveScope(WaitMonitor& monitor) : monitor_(monitor) { monitor_.begin(); }
  ~CollectiveScope() { monitor_.end(); }
  CollectiveScope(const CollectiveScope&) = delete;
  CollectiveScope& operator=(const CollectiveScope&) = delete;

 private:
  WaitMonitor& monitor_;
};

// to = to op from, for count elements of f64, f32, bf16 or i32. A NaN in either gives NaN.
void combine(void* to, const void* from, Index count, DType dtype, Op op);

// A rank without others: one process alone, or one of several in a rehearsal. Operations change
// nothing.
class SelfCommunicator final : public Communicator {
 public:
  explicit SelfCommunicator(int rank = 0, int size = 1) : rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  Pending all_reduce(const Tensor&, Op) override { return {}; }
  Pending reduce(std::span<const Owned>, Op) override { return {}; }
  Pending broadcast(std::span<const Owned>) override { return {}; }
  void abort() noexcept override {}

 private:
  int rank_, size_;
};

}  // namespace tern
