// A tape: ops append, backward walks it once in reverse and frees as it goes.
// A step is straight-line code, so there is no graph search and no second derivative.
#pragma once

#include <unordered_map>
#include <vector>

#include "autograd/gradients.h"
#include "autograd/var.h"
#include "core/backend.h"

namespace tern {

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

  // The op that made y reads y's gradient in 8-bit floats too, if its writer can make them.
  void want_fp8(const Var& y) { slots_.at(y.slot).fp8 = true; }

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
    bool fp8 = false;     // wanted in 8-bit floats; of the whole buffer, never of a view
    bool narrow = false;  // the gradient is bf16 beside an f32 value
    bool loss = false;    // of record_loss
    DType computed() const { return narrow ? DType::f32 : dtype; }
  };
  struct Node {
    std::vector<int> outputs{}, inputs{};
    Backward backward{};
  };
  struct Leaf {
    Parameter* parameter;
    int uses;  // ops that will still add to its gradient
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
  void report_ready(const Node& node);

  Ready ready_;
  std::unordered_map<const GradBuffer*, Leaf> waited_for_{};  // for Ready
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
