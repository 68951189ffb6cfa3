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

}  // namespace tern
