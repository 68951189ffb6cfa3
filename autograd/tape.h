// A tape: ops append, backward walks it once in reverse and frees as it goes.
// A step is straight-line code, so there is no graph search and no second derivative.
#pragma once

#include <optional>
#include <unordered_map>

#include "core/backend.h"
#include "core/parameter.h"
#include "core/tensor.h"

namespace tern {

// Arguments of an op's backward: gradients of its outputs, and destinations for those of its
// inputs. A product may request the gradient of its output in 8-bit floats too
// (core/kernels/product.h). The op that writes that gradient can compute them in the same pass.
// They belong to the gradient's buffer; a second claim of any part of it drops them, since a sum
// has no 8-bit form yet. Where they suffice and one op alone writes the gradient, there is no other
// form of it.

// One gradient for each output, in record()'s order.
class Upstream {
 public:
  struct Gradient {
    Tensor value{};  // empty: that output was not used, or it is in 8-bit floats alone
    Fp8Rows fp8{};   // the same in 8-bit floats; empty: not requested, or not computed
    explicit operator bool() const { return value || fp8; }
  };
  Upstream(std::span<const Gradient> gradients) : gradients_(gradients) {}
  const Tensor& operator[](std::size_t k) const { return gradients_[k].value; }
  const Fp8Rows& fp8(std::size_t k) const { return gradients_[k].fp8; }

 private:
  std::span<const Gradient> gradients_;
};

// One destination for each input, in record()'s order.
class Grads {
 public:
  struct Destination {
    Grad grad{};                      // empty: no gradient needed, or not claimed yet
    std::function<Grad()> claim{};    // where 8-bit floats suffice: makes grad after all
    std::function<Fp8Rows()> rows{};  // empty: not needed in 8-bit floats
    bool narrow = false;              // grad is bf16, the input is not
    Tensor wide{};                    // f32: what is to be rounded and added to a narrow grad
  };
  Grads(std::span<Destination> to) : to_(to) {}
  std::size_t size() const { return to_.size(); }
  // Destination of gradient i, in the type of the input.
  Grad operator[](std::size_t i) const;
  // The same as it is stored (core/kernels.h): for kernels that write either dtype, which saves
  // a pass.
  const Grad& stored(std::size_t i) const;
  // Destination of gradient i in 8-bit floats; empty if not needed. A caller of this must write it.
  // Asked first, it may leave the other one empty: 8-bit floats suffice.
  Fp8Rows fp8(std::size_t i) const;

 private:
  std::span<Destination> to_;
};

class Tape;

// A value and, when it needs a gradient, its place on the tape. A value that is cheap to compute
// need not be kept until backward: its op stores a function that computes it again, and the ops
// that read the value keep that function instead.
struct Var {
  Tensor value{};
  Tape* tape = nullptr;
  int slot = -1;                        // -1: no gradient wanted
  std::function<Tensor()> recompute{};  // makes the value again in backward; empty: keep it
};

// What an op's closure captures to read v in backward: the value, or how to make it again.
inline std::function<Tensor()> in_backward(const Var& v) {
  if (v.recompute) return v.recompute;
  return [value = v.value] { return value; };
}

// make, run by the first call only. Its result lives as long as a copy of the returned function: as
// the tape unwinds, until the last op that reads it is done.
template <class Make>
auto once(Make make) {
  using Made = decltype(make());
  return [make = std::move(make), made = std::make_shared<std::optional<Made>>()]() -> Made {
    if (!*made) *made = make();
    return **made;
  };
}

// A quantised value: integer codes and their scale. Its gradient is that of the dequantised value.
// Not quantised (quantize = "none"): scale is empty and the Var holds the real value.
struct QuantizedVar {
  Var codes{};      // what codes.recompute makes may be quotients (core/kernels/quantize.h)
  NormedRows of{};  // beside codes.recompute: what a product may make them of itself
  Tensor scale{};   // (N) for rows of activations, (1) for a weight matrix
  std::optional<DType> real{};  // of the value and its gradient, where that is not the scale's

  DType value_dtype() const { return real.value_or(scale ? scale.dtype() : codes.value.dtype()); }
};

class Tape {
 public:
  using Upstream = tern::Upstream;
  using Grads = tern::Grads;
  using Backward = std::function<void(Upstream, Grads)>;

  // Called in backward as soon as a parameter's gradient is complete: after the last op of this
  // tape that adds to it. Without one, null.
  using Ready = std::function<void(Parameter&)>;

  explicit Tape(Ready ready = {}) : ready_(std::move(ready)) {}
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  // The parameter on this tape; asking twice gives the same place. Gradients go to p.grad.
  Var leaf(Parameter& p);

  // The closure's captures are exactly what this op keeps alive until backward.
  // The gradient of a real output has its dtype, that of codes has codes_gradient.
  std::vector<Var> record(const char* op, std::vector<Tensor> outputs, std::vector<Var> inputs,
                          DType codes_gradient, Backward backward);

  // A loss whose op has written the gradients of its inputs already (claim), for a gradient of 1.
  // backward must be given it; no op takes it and no seed scales it.
  Var record_loss(const Tensor& value, std::span<const Var> inputs);

  // The op that made y reads y's gradient in 8-bit floats too, if its writer can make them, beside
  // the other form or instead of it.
  enum class Fp8 { none, beside, suffices };
  void want_fp8(const Var& y, Fp8 how) { slots_.at(y.slot).fp8 = how; }

  // An op that has written its result over v's memory: nobody reads v again. The two share a
  // gradient buffer, and backward, given the result's gradient, turns it into v's where it lies.
  Var record_in_place(const char* op, const Var& v, std::function<void(const Tensor&)> backward);

  // A view of v's value starting at element `first` shares v's gradient buffer.
  Var view(const Var& v, const Tensor& value, Index first);

  // For ops that know their gradient before backward starts (the loss): where to write it now.
  Grad claim(const Var& v);
  const Ready& ready() const { return ready_; }

  // Seeds (default: ones) for the given outputs, then every closure in reverse. Once per tape; an
  // empty seed stands for an output that does not count, or for a loss. Closures may write their
  // gradients in any order: inputs that share memory are kept apart and added up here.
  void backward(std::span<const Var> outputs, std::span<const Tensor> seeds = {});
  void backward(const Var& loss) { backward(std::span(&loss, 1)); }

 private:
  struct Slot {
    std::shared_ptr<GradBuffer> buffer{};  // shared with the slots that view it
    Backend* backend = nullptr;
    Index elements = 0;  // of the whole buffer
    Shape shape{};
    DType dtype = DType::f32;
    Index first = 0;      // element of the buffer where this slot begins
    Fp8 fp8 = Fp8::none;  // wanted in 8-bit floats; of the whole buffer, never of a view
    bool narrow = false;  // the gradient is bf16 beside an f32 value
    bool loss = false;    // of record_loss
    DType computed() const { return narrow ? DType::f32 : dtype; }
  };
  struct Node {
    std::vector<int> outputs{}, inputs{};
    Backward backward{};
    bool in_place = false;  // the output's gradient becomes the input's
  };
  void check_open(const char* op) const;             // nothing is recorded once backward has begun
  int input_of(const char* op, const Var& v) const;  // its slot
  Grad claim(int slot);
  Grads::Destination destination(int slot);
  Tensor finished(int slot);  // the gradient, or nothing if it was not written
  bool overlap(int slot, int other) const;
  void seed(const Var& output, const Tensor& gradient);
  void seed_all(std::span<const Var> outputs, std::span<const Tensor> seeds);
  void run(Node& node);
  void count_uses(const Node& node);
  void end_uses(const Node& node);  // reports parameters whose gradients are complete

  Ready ready_;
  std::unordered_map<const GradBuffer*, int> uses_{};  // ops that will still add to a gradient
  std::unordered_map<const GradBuffer*, Parameter*> waited_for_{};  // for Ready
  std::vector<Slot> slots_;
  std::vector<Node> nodes_;
  std::unordered_map<const Parameter*, int> leaves_;
  int losses_ = 0;       // recorded
  bool walked_ = false;  // backward has begun
};

// The parameter on the tape, or without one (inference) just its value.
Var leaf(Tape* tape, Parameter& p);

// Records on the inputs' tape, or, when no input needs a gradient, keeps nothing.
// The gradient of a real output has its dtype; that of codes codes_gradient, by default the dtype
// of the first real tensor among outputs, then inputs.
std::vector<Var> record(const char* op, std::vector<Tensor> outputs, std::vector<Var> inputs,
                        Tape::Backward backward, std::optional<DType> codes_gradient = {});

// One output.
Var record(const char* op, const Tensor& output, std::vector<Var> inputs,
           std::function<void(const Tensor& dy, Tape::Grads d)> backward,
           std::optional<DType> codes_gradient = {});

// The tape of the inputs that need gradients, null if none does; throws if they mix tapes.
Tape* tape_of(const char* op, std::span<const Var> inputs);

// Runs f without a tape now and again, on a tape of its own, during backward: activations are
// traded for time. Every outer Var that f needs is passed in; parameters are reached through
// leaf(tape, p) with the tape f is given, or passed in, but not both. Errors: anything else.
using CheckpointBody = std::function<std::vector<Var>(Tape*, std::span<const Var>)>;
std::vector<Var> checkpoint(Tape* tape, CheckpointBody f, std::vector<Var> inputs);

}  // namespace tern
