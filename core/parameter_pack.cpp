#include "core/parameter_pack.h"

#include <algorithm>

#include "core/backend.h"

namespace tern {
namespace {

Index room_of(const Parameter& p) {
  const Index unit = p.decays ? kSumPiece : 64;
  return sum_pieces(p.shape.elements(), unit) * unit;
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
    total += room_of(*p);
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

std::size_t ParameterPack::place_of(const Parameter& p) const {
  const auto at = std::find(parameters_.begin(), parameters_.end(), &p);
  check(at != parameters_.end(), "[ParameterPack] ", p.name, " is not in this pack");
  return std::size_t(at - parameters_.begin());
}

Tensor ParameterPack::view(const Tensor& flat, const Parameter& p) const {
  return flat.slice(offsets_[place_of(p)], p.shape.elements()).reshape(p.shape);
}

void ParameterPack::make_ternary_copies() {
  std::vector<TernaryCopies::Place> matrices;
  for (std::size_t i = 0; i < parameters_.size() && parameters_[i]->decays; ++i)
    matrices.push_back({.first = offsets_[i], .count = parameters_[i]->shape.elements()});
  ternary_ =
      std::make_unique<TernaryCopies>(values_.slice(0, decayed_), matrices, bool(gradients_));
}

TernaryWeight ParameterPack::ternary(const Parameter& p) const {
  check(ternary_ && p.decays, "[ParameterPack] ", p.name, " has no ternary copy");
  return {.t = view(ternary_->codes(), p),
          .scale = ternary_->scales().slice(Index(place_of(p)), 1)};
}

void ParameterPack::begin_step() {
  for (Parameter* p : parameters_) p->grad.written.clear();
}

void ParameterPack::finish_gradients() {
  for (Parameter* p : parameters_) p->grad.fill_unwritten();
}

}  // namespace tern
