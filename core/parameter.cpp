#include "core/parameter.h"

#include <algorithm>

#include "core/backend.h"

namespace tern {
namespace {

void zero(const Tensor& t, Index begin, Index end) {
  if (begin < end) t.backend().fill(t.reshape({t.elements()}).slice(begin, end - begin), 0);
}

}  // namespace

void check_fp8_rows(const char* kernel, const Grad& grad, const Fp8Rows& fp8) {
  if (fp8)
    check(grad && !grad.add, kernel,
          " 8-bit floats of a gradient: expected one that is overwritten, got ",
          grad ? "one that is added to" : "none");
}

bool GradBuffer::claim(Index begin, Index end) {
  fp8 = {};
  bool touched = false;
  for (const auto& [b, e] : written) touched = touched || (b < end && begin < e);
  Index at = begin;  // zero the gaps inside a range that is written in part
  std::vector<std::pair<Index, Index>> merged;
  Index low = begin, high = end;
  for (const auto& [b, e] : written) {
    if (touched && b < end && begin < e) {
      zero(tensor, at, std::min(b, end));
      at = std::max(at, e);
    }
    if (e < low || b > high) {
      merged.emplace_back(b, e);
    } else {
      low = std::min(low, b);
      high = std::max(high, e);
    }
  }
  if (touched) zero(tensor, at, end);
  merged.emplace_back(low, high);
  std::sort(merged.begin(), merged.end());
  written = std::move(merged);
  return touched;
}

void GradBuffer::fill_unwritten() {
  Index at = 0;
  for (const auto& [b, e] : written) {
    zero(tensor, at, b);
    at = e;
  }
  zero(tensor, at, tensor.elements());
  written = {{0, tensor.elements()}};
}

InferenceWeights::InferenceWeights(Backend& backend, std::vector<Parameter*> parameters,
                                   DType dtype, std::optional<DType> working)
    : parameters_(std::move(parameters)), dtype_(dtype) {
  for (Parameter* p : parameters_) {
    if (p->ternary)
      p->copy = {.t = Tensor(backend, p->shape, DType::i8), .scale = Tensor(backend, {1}, dtype)};
    else if (p->working_copy && working)
      p->working = Tensor(backend, p->shape, *working);
    else
      p->value = Tensor(backend, p->shape, dtype);
  }
}

InferenceWeights::~InferenceWeights() {
  for (Parameter* p : parameters_) p->value = {}, p->copy = {}, p->working = {};
}

void InferenceWeights::set(const Parameter& p,
                           const std::function<void(const Tensor& values)>& fill) {
  if (p.value) return fill(p.value);
  Backend& on = p.ternary ? p.copy.t.backend() : p.working.backend();
  const Tensor values(on, p.shape, dtype_);
  fill(values);
  if (p.working) return on.run(Accumulate{.to = {p.working}, .x = values});
  const Tensor sums(on, {sum_pieces(p.shape.elements())}, DType::f64);
  on.run(SumMagnitudes{.sums = sums, .w = values});
  on.run(QuantizeTernary{.y = p.copy, .w = values, .magnitudes = sums});
}

}  // namespace tern
