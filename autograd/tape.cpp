#include "autograd/tape.h"

#include <algorithm>

namespace tern {
namespace {

bool share_memory(const Tensor& a, const Tensor& b) {
  const auto *x = static_cast<const std::byte*>(a.raw()),
             *y = static_cast<const std::byte*>(b.raw());
  return x < y + b.bytes() && y < x + a.bytes();
}

// of the first real tensor
DType gradient_dtype(std::span<const Tensor> outputs, std::span<const Var> inputs) {
  for (const Tensor& t : outputs)
    if (t && is_real(t.dtype())) return t.dtype();
  for (const Var& v : inputs)
    if (v.value && is_real(v.value.dtype())) return v.value.dtype();
  return DType::f32;
}

}  // namespace

void Tape::check_open(const char* op) const {
  check(!walked_, "[", op,
        "] recorded on a tape whose backward has begun: a step has its own tape, ",
        "and outer values are passed to checkpoint as inputs");
}

Var Tape::leaf(Parameter& p) {
  check_open("leaf");
  const auto [it, fresh] = leaves_.try_emplace(&p, int(slots_.size()));
  if (fresh) {
    const Tensor& like = p.value ? p.value : p.grad.tensor;  // one that another rank owns
    check(p.grad.tensor && p.grad.tensor.shape() == like.shape(), "[tape] ", p.name,
          ": expected a gradient like the value, gradient is ", p.grad.tensor, ", value is ",
          p.value);
    for (const auto& [other, slot] : leaves_)
      check(other == &p || !share_memory(other->grad.tensor, p.grad.tensor), "[tape] ", p.name,
            ": another leaf writes its gradient: pass it to checkpoint or use it inside, not both");
    slots_.push_back({.buffer = std::shared_ptr<GradBuffer>(&p.grad, [](GradBuffer*) {}),
                      .backend = &like.backend(),
                      .elements = like.elements(),
                      .shape = like.shape(),
                      .dtype = p.grad.tensor.dtype(),
                      .narrow = p.grad.tensor.dtype() == DType::bf16 &&
                                (!p.value || p.value.dtype() == DType::f32)});
    if (ready_) waited_for_.emplace(&p.grad, &p);
  }
  return {p.value, this, it->second};
}

std::vector<Var> Tape::record(const char* op, std::vector<Tensor> outputs, std::vector<Var> inputs,
                              DType codes_gradient, Backward backward) {
  check_open(op);
  Node node{.backward = std::move(backward)};
  std::vector<Var> vars;
  for (Tensor& value : outputs) {
    node.outputs.push_back(int(slots_.size()));
    slots_.push_back({.buffer = std::make_shared<GradBuffer>(),
                      .backend = &value.backend(),
                      .elements = value.elements(),
                      .shape = value.shape(),
                      .dtype = is_real(value.dtype()) ? value.dtype() : codes_gradient});
    vars.push_back({std::move(value), this, node.outputs.back()});
  }
  for (const Var& v : inputs) node.inputs.push_back(input_of(op, v));
  nodes_.push_back(std::move(node));
  return vars;
}

// The node has no outputs: backward computes nothing there, but the gradients are complete.
Var Tape::record_loss(const Tensor& value, std::span<const Var> inputs) {
  check_open("loss");
  Node node;
  for (const Var& v : inputs) node.inputs.push_back(input_of("loss", v));
  nodes_.push_back(std::move(node));
  slots_.push_back({.buffer = std::make_shared<GradBuffer>(), .loss = true});
  ++losses_;
  return {value, this, int(slots_.size()) - 1};
}

// Its output is a view of v, without inputs of its own: the gradient is v's once it has run.
Var Tape::record_in_place(const char* op, const Var& v,
                          std::function<void(const Tensor&)> backward) {
  check_open(op);
  Var y = view(v, v.value, 0);
  nodes_.push_back(
      {.outputs = {y.slot},
       .backward = [backward = std::move(backward)](Upstream dy, Grads) { backward(dy[0]); },
       .in_place = true});
  return y;
}

int Tape::input_of(const char* op, const Var& v) const {
  check(v.slot < 0 || !slots_.at(v.slot).loss, "[", op,
        "] cannot read a loss whose gradients are computed already: scale it by its weight, and ",
        "give backward every loss that counts");
  return v.slot;
}

Var Tape::view(const Var& v, const Tensor& value, Index first) {
  check_open("view");
  Slot slot = slots_.at(input_of("view", v));
  slot.first += first;
  slot.shape = value.shape();
  slot.fp8 = Fp8::none;
  slots_.push_back(std::move(slot));
  return {value, this, int(slots_.size()) - 1};
}

Grad Tape::claim(const Var& v) {
  return v.slot < 0 ? Grad{} : claim(v.slot);
}

Grad Tape::claim(int index) {
  const Slot& slot = slots_.at(index);
  GradBuffer& buffer = *slot.buffer;
  if (!buffer.tensor) buffer.tensor = Tensor(*slot.backend, {slot.elements}, slot.dtype);
  const Index n = slot.shape.elements();
  const bool add = buffer.claim(slot.first, slot.first + n);
  return {buffer.tensor.reshape({slot.elements}).slice(slot.first, n).reshape(slot.shape), add};
}

// What is added to has no 8-bit floats: they are of the sum.
Grads::Destination Tape::destination(int index) {
  if (index < 0) return {};
  const Slot& slot = slots_[index];
  GradBuffer* const buffer = slot.buffer.get();
  Grads::Destination to{.narrow = slot.narrow};
  if (slot.fp8 == Fp8::suffices && !buffer->tensor && uses_.at(buffer) == 1)
    to.claim = [this, index] { return claim(index); };
  else
    to.grad = claim(index);
  if (slot.fp8 != Fp8::none && !to.grad.add)
    to.rows = [&on = *slot.backend, buffer, shape = slot.shape, dtype = accumulator(slot.dtype)] {
      buffer->fp8 = {.codes = Tensor(on, shape, DType::e4m3),
                     .factors = Tensor(on, {shape[0]}, dtype)};
      return buffer->fp8;
    };
  return to;
}

Tensor Tape::finished(int index) {
  const Slot& slot = slots_.at(index);
  if (!slot.buffer->tensor) return {};
  slot.buffer->fill_unwritten();
  return slot.buffer->tensor.reshape({slot.elements})
      .slice(slot.first, slot.shape.elements())
      .reshape(slot.shape);
}

bool Tape::overlap(int index, int other) const {
  const Slot &a = slots_.at(index), &b = slots_.at(other);
  return a.buffer == b.buffer && a.first < b.first + b.shape.elements() &&
         b.first < a.first + a.shape.elements();
}

void Tape::seed(const Var& output, const Tensor& gradient) {
  check(output.tape == this, "[tape] expected outputs recorded on this tape");
  const Slot& slot = slots_.at(output.slot);
  Tensor from = gradient;
  if (!from) {
    from = Tensor(*slot.backend, slot.shape, slot.computed());
    slot.backend->fill(from, 1);
  }
  check(from.shape() == slot.shape && from.dtype() == slot.computed(), "[tape] seed: expected ",
        slot.shape, ' ', slot.computed(), ", got ", from);
  slot.backend->run(Accumulate{.to = claim(output.slot), .x = from});
}

void Tape::seed_all(std::span<const Var> outputs, std::span<const Tensor> seeds) {
  int losses = 0;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Var& y = outputs[i];
    if (y.tape == this && slots_.at(y.slot).loss) {
      check(seeds.empty() || !seeds[i], "[tape] seed: a loss whose gradients are computed already ",
            "takes none, and is not recomputed by checkpoint: scale it by its weight");
      ++losses;
    } else if (seeds.empty() || seeds[i]) {
      seed(y, seeds.empty() ? Tensor{} : seeds[i]);
    }
  }
  check(losses == losses_, "[tape] backward: expected every loss once, recorded ", losses_,
        ", got ", losses);
}

void Tape::run(Node& node) {
  std::vector<Upstream::Gradient> upstream;
  for (const int output : node.outputs)
    upstream.push_back({.value = finished(output), .fp8 = slots_[output].buffer->fp8});
  if (std::none_of(upstream.begin(), upstream.end(), [](const auto& g) { return bool(g); })) return;
  std::vector<Grads::Destination> into;
  std::vector<std::pair<int, Tensor>> apart;  // gradients of inputs that overlap earlier ones
  for (std::size_t k = 0; k < node.inputs.size(); ++k) {
    const int input = node.inputs[k];
    const bool shares =
        input >= 0 && std::any_of(node.inputs.begin(), node.inputs.begin() + k, [&](int earlier) {
          return earlier >= 0 && overlap(input, earlier);
        });
    if (shares) {
      const Slot& slot = slots_.at(input);
      apart.emplace_back(input, Tensor(*slot.backend, slot.shape, slot.computed()));
      into.push_back({.grad = {.to = apart.back().second}});
    } else {
      into.push_back(destination(input));
    }
  }
  node.backward(Upstream(upstream), Grads(into));
  for (const Grads::Destination& d : into)
    if (d.wide) d.wide.backend().run(Accumulate{.to = d.grad, .x = d.wide});
  for (const auto& [input, gradient] : apart)
    gradient.backend().run(Accumulate{.to = claim(input), .x = gradient});
}

void Tape::count_uses(const Node& node) {
  for (const int input : node.inputs)
    if (input >= 0) ++uses_[slots_[input].buffer.get()];
}

// Ops run backwards, so the first op that used a parameter is the last to add to its gradient.
void Tape::end_uses(const Node& node) {
  for (const int input : node.inputs) {
    if (input < 0) continue;
    const GradBuffer* const buffer = slots_[input].buffer.get();
    if (--uses_.at(buffer) > 0) continue;
    const auto at = waited_for_.find(buffer);
    if (at == waited_for_.end()) continue;
    at->second->grad.fill_unwritten();
    ready_(*at->second);
  }
}

void Tape::backward(std::span<const Var> outputs, std::span<const Tensor> seeds) {
  check(!walked_, "[tape] backward runs once per tape");
  check(seeds.empty() || seeds.size() == outputs.size(), "[tape] expected a seed for each of ",
        outputs.size(), " outputs, got ", seeds.size());
  walked_ = true;
  seed_all(outputs, seeds);
  for (const Node& node : nodes_) count_uses(node);
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    run(nodes_[i]);
    end_uses(nodes_[i]);
    if (!nodes_[i].in_place)
      for (const int output : nodes_[i].outputs)
        slots_[output].buffer->release();  // views share it
    nodes_[i].backward = nullptr;          // lets go of every activation this op kept
  }
  nodes_.clear();
  slots_.clear();
  leaves_.clear();
}

Var leaf(Tape* tape, Parameter& p) {
  return tape ? tape->leaf(p) : Var{p.value};
}

Tape* tape_of(const char* op, std::span<const Var> inputs) {
  Tape* tape = nullptr;
  for (const Var& v : inputs) {
    if (v.slot < 0) continue;
    check(!tape || tape == v.tape, "[", op,
          "] inputs live on two tapes: pass outer values to checkpoint as inputs");
    tape = v.tape;
  }
  return tape;
}

std::vector<Var> record(const char* op, std::vector<Tensor> outputs, std::vector<Var> inputs,
                        Tape::Backward backward, std::optional<DType> codes_gradient) {
  if (Tape* tape = tape_of(op, inputs)) {
    const DType dtype = codes_gradient.value_or(gradient_dtype(outputs, inputs));
    return tape->record(op, std::move(outputs), std::move(inputs), dtype, std::move(backward));
  }
  std::vector<Var> vars;  // inference: nothing recorded, nothing kept
  for (Tensor& value : outputs) vars.push_back({std::move(value)});
  return vars;
}

Var record(const char* op, const Tensor& output, std::vector<Var> inputs,
           std::function<void(const Tensor&, Tape::Grads)> backward,
           std::optional<DType> codes_gradient) {
  return record(
      op, std::vector{output}, std::move(inputs),
      [backward = std::move(backward)](Tape::Upstream dy, Tape::Grads d) { backward(dy[0], d); },
      codes_gradient)[0];
}

namespace {

// An outer value as a leaf of the inner tape, its gradient written to the outer tape's destination.
Parameter outer_input(const Tensor& value, const Grad& d) {
  Parameter p{.value = value, .grad = {.tensor = d.to}};
  if (d.add) p.grad.written = {{0, d.to.elements()}};
  return p;
}

// Backward of a body that is computed again: on a tape of its own, over inputs taken as leaves.
struct Recomputation {
  void operator()(Tape::Upstream dy, Tape::Grads d) const {
    std::vector<Parameter> outer;
    outer.reserve(d.size());
    // of what the body itself reaches through leaf(); outer values are the outer tape's to report
    const auto inner_ready = [&](Parameter& p) {
      for (const Parameter& o : outer)
        if (&o == &p) return;
      ready(p);
    };
    Tape inner(ready ? Tape::Ready(inner_ready) : Tape::Ready{});
    std::vector<Var> arguments = inputs;
    for (std::size_t i = 0; i < d.size(); ++i) {
      outer.push_back(outer_input(inputs[i].value, d.stored(i)));
      if (d.stored(i)) arguments[i] = inner.leaf(outer[i]);
    }
    std::vector<Var> outputs;
    std::vector<Tensor> seeds;
    const std::vector<Var> results = body(&inner, arguments);
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (results[i].slot < 0) continue;  // a constant
      outputs.push_back(results[i]);
      seeds.push_back(dy[i]);
    }
    inner.backward(outputs, seeds);
    for (Parameter& o : outer)
      if (o.grad.tensor) o.grad.fill_unwritten();
  }

  CheckpointBody body;
  std::vector<Var> inputs;  // as constants
  Tape::Ready ready;        // of the outer tape
};

}  // namespace

std::vector<Var> checkpoint(Tape* tape, CheckpointBody f, std::vector<Var> inputs) {
  if (!tape) return f(nullptr, inputs);
  std::vector<Var> constants;
  for (const Var& v : inputs) {
    check(v.slot < 0 || v.tape == tape, "[checkpoint] inputs live on another tape");
    constants.push_back({v.value});
  }
  std::vector<Tensor> values;
  for (Var& v : f(nullptr, constants)) {
    check(v.slot < 0, "[checkpoint] its body used a value of a tape: pass it as an input");
    values.push_back(std::move(v.value));
  }
  const DType dtype = gradient_dtype(values, constants);
  return tape->record("checkpoint", std::move(values), std::move(inputs), dtype,
                      Recomputation{std::move(f), std::move(constants), tape->ready()});
}

const Grad& Grads::stored(std::size_t i) const {
  Destination& d = to_[i];
  if (d.claim) d.grad = std::exchange(d.claim, nullptr)();
  return d.grad;
}

Grad Grads::operator[](std::size_t i) const {
  const Grad& stored_grad = stored(i);
  Destination& d = to_[i];
  if (!d.narrow) return stored_grad;
  if (!d.wide) d.wide = Tensor(d.grad.to.backend(), d.grad.to.shape(), DType::f32);
  return {.to = d.wide};
}

Fp8Rows Grads::fp8(std::size_t i) const {
  Destination& d = to_[i];
  if (!d.rows) return {};
  d.claim = nullptr;
  return d.rows();
}

}  // namespace tern
