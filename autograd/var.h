// Values on a tape. A value that is cheap to compute need not be kept until backward: its op stores
// a function that computes it again, and the ops that read the value keep that function instead.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "core/tensor.h"

namespace tern {

class Tape;

// A value and, when it needs a gradient, its place on the tape.
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
  Var codes{};     // what codes.recompute makes may be quotients (core/kernels/norm_quantize.h)
  Tensor scale{};  // (N) for rows of activations, (1) for a weight matrix
  std::optional<DType> real{};  // of the value and its gradient, where that is not the scale's

  DType value_dtype() const { return real.value_or(scale ? scale.dtype() : codes.value.dtype()); }
};

}  // namespace tern
