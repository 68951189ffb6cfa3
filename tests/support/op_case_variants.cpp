#include <memory>

#include "autograd/ops.h"
#include "tests/support/op_case.h"

namespace tern {

OpCase composition(const OpCase& op) {
  OpCase other = op;
  other.name += "_composed";
  other.apply = [composed = op.composed](std::span<const Var> in) {
    Rounding rounding;
    return composed(in, rounding);
  };
  return other;
}

OpCase recomputed(const OpCase& op) {
  if (op.is_loss) return op;
  OpCase other = op;
  other.name += "_recomputed";
  other.apply = [apply = op.apply](std::span<const Var> in) {
    return checkpoint(
        tape_of("recomputed", in), [apply](Tape*, std::span<const Var> v) { return apply(v); },
        Vars(in.begin(), in.end()));
  };
  return other;
}

OpCase shared(const OpCase& op, int i, int j) {
  OpCase other = op;
  other.name += "_shared";
  other.inputs.erase(other.inputs.begin() + j);
  other.apply = [apply = op.apply, i, j](std::span<const Var> in) {
    Vars all(in.begin(), in.end());
    all.insert(all.begin() + j, in[i]);
    return apply(all);
  };
  return other;
}

OpCase used_before(const OpCase& op, int i) {
  OpCase other = op;
  other.name += "_used_before";
  other.apply = [apply = op.apply, i](std::span<const Var> in) {
    const Var twice = scale(in[i], 2);
    Vars outputs = apply(in);
    outputs.push_back(twice);
    return outputs;
  };
  return other;
}

OpCase used_after(const OpCase& op, int i) {
  OpCase other = op;
  other.name += "_used_after";
  other.apply = [apply = op.apply, i](std::span<const Var> in) {
    Vars outputs = apply(in);
    outputs.push_back(scale(in[i], 2));
    return outputs;
  };
  return other;
}

OpCase on_views(const OpCase& op, Index padding) {
  OpCase other = op;
  other.name += "_on_views";
  for (OpInput& in : other.inputs) in.shape = {in.shape.elements() + padding};
  other.apply = [op, padding](std::span<const Var> in) {
    Vars views;
    for (std::size_t i = 0; i < in.size(); ++i) {
      const Shape& shape = op.inputs[i].shape;
      views.push_back(reshape(slice(in[i], padding, shape.elements()), shape));
    }
    return op.apply(views);
  };
  return other;
}

OpCase without_tape(const OpCase& op) {
  OpCase other = op;
  other.name += "_without_tape";
  other.apply = [apply = op.apply](std::span<const Var> in) {
    Vars values;
    for (const Var& v : in) values.push_back({v.value});
    return apply(values);
  };
  return other;
}

}  // namespace tern
