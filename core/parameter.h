// A trained tensor and its gradient. Both live for the whole run.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace tern {

// A gradient under construction: which elements have been written so far. The first writer of a
// range overwrites it, later ones add, so no pass over memory is spent on zeroing.
struct GradBuffer {
  Tensor tensor{};
  std::vector<std::pair<Index, Index>> written{};  // sorted, disjoint [begin, end) of elements
  Fp8Rows fp8{};  // all of it in 8-bit floats, if its one writer makes that; every claim drops it

  // Makes [begin, end) ready for a writer; true: add to what is there, false: overwrite.
  bool claim(Index begin, Index end);
  void fill_unwritten();  // zeros the elements that were not written
  void let_go() { tensor = {}, fp8 = {}; }
};

// Gradient destination. Empty: not needed. add: accumulate instead of overwrite.
struct Grad {
  Tensor to{};
  bool add = false;
  explicit operator bool() const { return bool(to); }
};

// Throws unless kernel writes the gradient that it is to make 8-bit floats of, and overwrites it.
void check_fp8_rows(const char* kernel, const Grad& grad, const Fp8Rows& fp8);

struct Parameter {
  std::string name{};  // "model.layers.3.attn.f_proj.weight"
  Shape shape{};
  bool decays = false;   // takes part in weight decay
  bool divided = false;  // where several ranks own parameters, they divide its rows (an embedding)
  Tensor value{};        // empty: a matrix that another rank owns, seen through its ternary copy
  GradBuffer grad{};     // of this shape
};

}  // namespace tern
