// One forward pass: the tape that records gradients, and the observer of intermediates.
#pragma once

#include <functional>
#include <string>

#include "autograd/tape.h"

namespace tern {

// Called with each intermediate as soon as it exists. It may overwrite the tensor's bytes: that is
// how a run replays another's rounding decisions.
using Observer = std::function<void(const std::string& name, const Tensor& value)>;

struct Pass {
  Tape* tape = nullptr;  // null: inference
  Observer observe{};    // may be empty
  std::string scope{};   // prefix of the names that observe sees: "model.layers.3."

  void see(const char* name, const Tensor& value) const {
    if (observe && value) observe(scope + name, value);
  }
  // codes as NAME.q and their scale as NAME.scale; real values as NAME
  void see(const std::string& name, const QuantizedVar& value) const {
    see(value.scale ? (name + ".q").c_str() : name.c_str(), value.codes.value);
    see((name + ".scale").c_str(), value.scale);
  }
};

}  // namespace tern
