#include "core/parameter_pack.h"

#include <algorithm>

#include "core/backend.h"

namespace tern {
namespace {

Index aligned(Index n) {
  return (n + 63) / 64 * 64;
}

}  // namespace

ParameterPack::ParameterPack(Backend& backend, std::vector<Parameter*> parameters, DType dtype,
                             bool gradients)
    : parameters_(std::move(parameters)) {
  std::stable_partition(parameters_.begin(), parameters_.end(),
                        [](const Parameter* p) { return p->decays; });
  Index total = 0;
  for (const Parameter* p : parameters_) {
    offsets_.push_back(total);
    total += aligned(p->shape.elements());
    if (p->decays) decayed_ = total;
  }
  values_ = Tensor(backend, {total}, dtype);
  backend.fill(values_, 0);
  if (gradients) {
    gradients_ = Tensor(backend, {total}, dtype);
    backend.fill(gradients_, 0);
  }
  for (Parameter* p : parameters_) {
    p->value = view(values_, *p);
    if (gradients) p->grad = {.tensor = view(gradients_, *p)};
  }
}

Tensor ParameterPack::view(const Tensor& flat, const Parameter& p) const {
  const auto at = std::find(parameters_.begin(), parameters_.end(), &p) - parameters_.begin();
  check(at < Index(parameters_.size()), "[ParameterPack] ", p.name, " is not in this pack");
  return flat.slice(offsets_[at], p.shape.elements()).reshape(p.shape);
}

void ParameterPack::begin_step() {
  for (Parameter* p : parameters_) p->grad.written.clear();
}

void ParameterPack::finish_gradients() {
  for (Parameter* p : parameters_) p->grad.fill_unwritten();
}

}  // namespace tern
