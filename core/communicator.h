// Several processes that train one model: what they do to each other's tensors. Every rank makes
// the same calls in the same order with the same sizes; an element's terms are added in an order
// that depends on sizes and ranks alone, so results have the same bits every time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "core/tensor.h"

namespace tern {

enum class Op { sum, max };

// An operation on its way. The tensors must stay as they are until it has been waited for.
class [[nodiscard]] Pending {
 public:
  Pending() = default;  // done already
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

// Three operations, because training needs three. Sums that every rank uses (loss, norm,
// gradients): all_reduce. Sums that one rank uses, and its results for all ranks (the update of a
// matrix by its owner, the state of a run that rank 0 has read): reduce and broadcast.
// Parts are whole matrices of unequal sizes, so that an all-gather would need padding; a call takes
// many, and a library that can group messages does.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;  // 0 .. size - 1
  virtual int size() const = 0;

  // t becomes the sum or the largest over all ranks, on all ranks. f64, f32, bf16 (rounded after
  // every addition), i32.
  virtual Pending all_reduce(const Tensor& t, Op op) = 0;
  // the same on each part's owner only; elsewhere the part's content is lost
  virtual Pending reduce(std::span<const Owned> parts, Op op) = 0;
  // each part becomes what it is on its owner; any dtype
  virtual Pending broadcast(std::span<const Owned> parts) = 0;

  // How many operations the device has come to, where that is not when they are called: a device
  // that hangs comes to fewer than the others. For any thread.
  virtual std::uint64_t reached() const { return 0; }

  // Gives up what is under way: other ranks may be gone. Nothing may be called afterwards.
  virtual void abort() noexcept = 0;
};

// Called while an operation waits for other ranks; decides when to give up.
class Patience {
 public:
  virtual ~Patience() = default;
  virtual void begin() = 0;    // an operation is under way
  virtual void waiting() = 0;  // called repeatedly; throws to give up
  virtual void end() noexcept = 0;
};

// to = to op from, for count elements of f64, f32, bf16 or i32. NaN wins over everything.
void combine(void* to, const void* from, Index count, DType dtype, Op op);

// A rank without others: one process alone, or one of several in a rehearsal. Operations leave
// everything as it is.
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
