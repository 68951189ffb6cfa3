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
  check(!fp8 || !grad.add, kernel,
        " 8-bit floats of a gradient: expected one that is overwritten, got one that is added to");
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
                                   DType dtype, std::optional<DType> working, DType codes)
    : backend_(backend),
      parameters_(std::move(parameters)),
      dtype_(dtype),
      working_(working),
      codes_(codes) {}

InferenceWeights::~InferenceWeights() {
  for (Parameter* p : parameters_) p->value = {}, p->copy = {}, p->working = {}, p->table = {};
}

void InferenceWeights::set(Parameter& p, const std::function<void(const Tensor& values)>& fill) {
  if (!p.ternary && !(p.working_copy && working_)) {
    p.value = Tensor(backend_, p.shape, dtype_);
    return fill(p.value);
  }
  if (p.ternary)
    p.copy = {.t = Tensor(backend_, p.shape, codes_), .scale = Tensor(backend_, {1}, dtype_)};
  else
    p.working = Tensor(backend_, p.shape, *working_);
  const Tensor values(backend_, p.shape, dtype_);
  fill(values);
  if (p.working) return backend_.run(Accumulate{.to = {p.working}, .x = values});
  const Tensor sums(backend_, {sum_pieces(p.shape.elements())}, DType::f64);
  backend_.run(SumMagnitudes{.sums = sums, .w = values});
  TernaryWeight bytes = p.copy;
  if (codes_ == DType::t2) bytes.t = Tensor(backend_, p.shape, DType::i8);
  backend_.run(QuantizeTernary{.y = bytes, .w = values, .magnitudes = sums});
  if (codes_ == DType::t2) pack_tiles(p.copy.t, bytes.t);
}

void InferenceWeights::bind(Parameter& p, const Tensor& values) {
  const bool narrow = p.sharding == Sharding::rows && values.dtype() == DType::bf16;
  check(!p.ternary && values.shape() == p.shape && (values.dtype() == dtype_ || narrow),
        "[InferenceWeights] ", p.name, ": expected values ", p.shape, ' ', dtype_, ", got ",
        values);
  p.value = values, p.table = {};
}

void InferenceWeights::bind(Parameter& p, const TernaryWeight& copy) {
  const bool codes = copy.t.dtype() == DType::i8 || copy.t.dtype() == DType::t2;
  check(p.ternary && copy.t.shape() == p.shape && codes && copy.scale.shape() == Shape{1} &&
            copy.scale.dtype() == dtype_,
        "[InferenceWeights] ", p.name, ": expected codes ", p.shape, " and a scale ", dtype_,
        ", got ", copy.t, " and ", copy.scale);
  p.copy = copy;
}

void InferenceWeights::bind(Parameter& p, const Quantized& table) {
  check(p.sharding == Sharding::rows && table.q.shape() == p.shape &&
            table.q.dtype() == DType::i8 && table.row_scale.shape() == Shape{p.shape[0]} &&
            table.row_scale.dtype() == dtype_,
        "[InferenceWeights] ", p.name, ": expected int8 rows ", p.shape, " of an embedding and ",
        dtype_, " scales, got ", table.q, " and ", table.row_scale);
  p.table = table, p.value = {};
}

}  // namespace tern
