#include "autograd/tape.h"

#include <algorithm>

namespace tern {

Var Tape::leaf(Parameter& p) {
  const auto [it, fresh] = leaves_.try_emplace(&p, int(slots_.size()));
  if (fresh) {
    check(p.grad.tensor && p.grad.tensor.shape() == p.value.shape(), "[tape] ", p.name,
          ": expected a gradient like the value, gradient is ", p.grad.tensor, ", value is ",
          p.value);
    slots_.push_back({.buffer = std::shared_ptr<GradBuffer>(&p.grad, [](GradBuffer*) {}),
                      .backend = &p.value.backend(),
                      .elements = p.value.elements(),
                      .shape = p.value.shape(),
                      .dtype = p.grad.tensor.dtype()});
  }
  return {p.value, this, it->second};
}

std::vector<Var> Tape::record(const char*, std::vector<Tensor> outputs, std::vector<Var> inputs,
                              DType grad_dtype, Backward backward) {
  Node node{.backward = std::move(backward)};
  std::vector<Var> vars;
  for (Tensor& value : outputs) {
    node.outputs.push_back(int(slots_.size()));
    slots_.push_back({.buffer = std::make_shared<GradBuffer>(),
                      .backend = &value.backend(),
                      .elements = value.elements(),
                      .shape = value.shape(),
                      .dtype = grad_dtype});
    vars.push_back({std::move(value), this, node.outputs.back()});
  }
  for (const Var& v : inputs) node.inputs.push_back(v.slot);
  nodes_.push_back(std::move(node));
  return vars;
}

Var Tape::view(const Var& v, const Tensor& value, Index first) {
  Slot slot = slots_.at(v.slot);
  slot.first += first;
  slot.shape = value.shape();
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

Tensor Tape::finished(int index) {
  const Slot& slot = slots_.at(index);
  if (!slot.buffer->tensor) return {};
  slot.buffer->fill_unwritten();
  return slot.buffer->tensor.reshape({slot.elements})
      .slice(slot.first, slot.shape.elements())
      .reshape(slot.shape);
}

void Tape::backward(std::span<const Var> outputs, std::span<const Tensor> seeds) {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    check(outputs[i].tape == this, "[tape] expected outputs recorded on this tape");
    if (i < seeds.size() && !seeds[i]) continue;
    const Grad g = claim(outputs[i]);
    if (i < seeds.size())
      g.to.backend().run(Accumulate{.to = g, .x = seeds[i]});
    else
      g.to.backend().fill(g.to, 1);
  }
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    Node& node = nodes_[i];
    std::vector<Tensor> upstream;
    for (const int output : node.outputs) upstream.push_back(finished(output));
    if (std::any_of(upstream.begin(), upstream.end(), [](const Tensor& t) { return bool(t); })) {
      std::vector<Grad> into;
      for (const int input : node.inputs) into.push_back(input < 0 ? Grad{} : claim(input));
      node.backward(upstream, into);
    }
    upstream.clear();
    for (const int output : node.outputs) slots_[output].buffer->tensor = {};  // views share it
    node.backward = nullptr;  // lets go of every activation this op kept
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
                        Tape::Backward backward) {
  if (Tape* tape = tape_of(op, inputs)) {
    DType dtype = DType::f32;  // of the first real tensor among outputs, then inputs
    bool found = false;
    for (const Tensor& t : outputs)
      if (!found && is_real(t.dtype())) dtype = t.dtype(), found = true;
    for (const Var& v : inputs)
      if (!found && is_real(v.value.dtype())) dtype = v.value.dtype(), found = true;
    return tape->record(op, std::move(outputs), std::move(inputs), dtype, std::move(backward));
  }
  std::vector<Var> vars;  // inference: nothing recorded, nothing kept
  for (Tensor& value : outputs) vars.push_back({std::move(value)});
  return vars;
}

Var record(const char* op, const Tensor& output, std::vector<Var> inputs,
           std::function<void(const Tensor&, Tape::Grads)> backward) {
  return record(op, std::vector{output}, std::move(inputs),
                [backward = std::move(backward)](Tape::Upstream dy, Tape::Grads d) {
                  backward(dy[0], d);
                })[0];
}

namespace {

// An outer value as a leaf of the inner tape, its gradient written where the outer tape wants it.
struct OuterInput {
  OuterInput(const Tensor& value, const Grad& d) {
    parameter.value = value;
    parameter.grad.tensor = d.to;
    if (d.add) parameter.grad.written = {{0, d.to.elements()}};
  }
  Parameter parameter{};
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
  for (Var& v : f(nullptr, constants)) values.push_back(std::move(v.value));
  const DType dtype = values.at(0).dtype();
  auto again = [f = std::move(f), constants = std::move(constants)](Tape::Upstream dy,
                                                                    Tape::Grads d) {
    std::vector<OuterInput> outer;
    outer.reserve(d.size());
    Tape inner;
    std::vector<Var> arguments = constants;
    for (std::size_t i = 0; i < d.size(); ++i) {
      outer.emplace_back(constants[i].value, d[i]);
      if (d[i]) arguments[i] = inner.leaf(outer[i].parameter);
    }
    std::vector<Var> outputs;
    std::vector<Tensor> seeds;
    const std::vector<Var> results = f(&inner, arguments);
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (results[i].slot < 0) continue;  // a constant
      outputs.push_back(results[i]);
      seeds.push_back(dy[i]);
    }
    inner.backward(outputs, seeds);
    for (OuterInput& o : outer)
      if (o.parameter.grad.tensor) o.parameter.grad.fill_unwritten();
  };
  return tape->record("checkpoint", std::move(values), std::move(inputs), dtype, std::move(again));
}

}  // namespace tern
