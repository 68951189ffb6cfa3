// An op, declared once: its inputs and how it is applied. Tests check its gradients, its bits and
// its memory with it on any backend; the benchmark times it. Knows no test framework.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "autograd/tape.h"

namespace tern {

using Values = std::vector<double>;
using Vars = std::vector<Var>;

struct OpInput {
  std::string name;
  Shape shape;
  double low = -1, high = 1;  // uniform in between
  bool parameter = false;     // stays f32 where activations are bf16
};

// Stands for the quantisers when a fused op is composed from primitives. Rounds on the host in f64,
// with straight-through gradients; once frozen, round(x) is x + (round(x0) - x0) with x0 as it was
// before: smooth, and its derivative is the straight-through gradient by definition.
class Rounding {
 public:
  Var rows(const Var& x);          // (N, D) f64 as quantize_rows and dequantize would return it
  Var ternary_rows(const Var& x);  // (N, D) f64, each row as quantize_ternary would a matrix
  Var ternary(const Var& w);       // (O, I) f64 as quantize_ternary would, dequantised
  Var constant(const Var& x);      // f64 as it was before, on no tape
  void freeze();  // further calls, in the same order, add the offsets of the first ones

 private:
  Var rounded(const Var& x, const std::function<Values(const Values&)>& round);
  std::vector<Values> offsets_{};
  std::size_t next_ = 0;
  bool frozen_ = false;
};

// rows of D values as products with fp8_dx round the gradient that arrives
Values rounded_to_fp8(const Values& dy, Index D);
// x (N, I), dequantised, as products with fp8 round it for the weights' gradient of dy (N, O)
Values inputs_in_fp8(const Values& x, const Values& dy, Index I, Index O);

Values rounded_to_bf16(Values values);

struct OpCase {
  std::string name;
  std::vector<OpInput> inputs;
  std::function<Vars(std::span<const Var>)> apply{};
  // The same from primitives: the oracle of a fused op.
  std::function<Vars(std::span<const Var>, Rounding&)> composed{};
  bool rounds = false;   // apply is not smooth: finite differences are taken of the frozen oracle
  bool is_loss = false;  // the first output is of Tape::record_loss
  bool adds_up = false;  // an input is read more than once: its gradient is a sum
};

// uniform values for every input, a function of (seed, input) alone
std::vector<Values> sample(const OpCase& op, std::uint64_t seed = 1);

// The fixed factors r in (-1, 1) of one output in L = sum of r * outputs, so that every output
// element matters differently; 1 for a loss.
Values projection(const OpCase& op, std::size_t output, Index size);

// Everything an op makes of a point: outputs, and dL/d(input).
struct OpRun {
  std::vector<Values> outputs{}, gradients{};
  bool operator==(const OpRun&) const = default;
};

// backward_passes: the whole op that many times, gradients adding up as over micro-batches;
// gradients: what those of f32 inputs are stored in, by default f32
OpRun run_case(Backend& on, DType dtype, const OpCase& op, const std::vector<Values>& point,
               int backward_passes = 1, DType gradients = DType::f32);

// Variants of a case that must have the same gradients, or gradients that follow from its own.
OpCase composition(const OpCase& op);              // op.composed in place of op.apply
OpCase recomputed(const OpCase& op);               // inside checkpoint(), where no loss may be
OpCase shared(const OpCase& op, int i, int j);     // without input j: input i is passed twice
OpCase used_before(const OpCase& op, int i);       // 2 * input i is taken before the op ...
OpCase used_after(const OpCase& op, int i);        // ... or after it, as a further output
OpCase on_views(const OpCase& op, Index padding);  // inputs are slices of longer vectors
OpCase without_tape(const OpCase& op);             // inputs want no gradient

// Largest |tape - finite difference| over max(1, largest |finite difference|): up to `elements`
// elements of each input, and directions through all elements at once.
struct GradientError {
  double worst = 0;
  std::string where{};  // "w[3]" or "direction 1"
};
GradientError gradient_error(Backend& on, const OpCase& op, int elements = 24);

// largest |a - b| over the largest |b|; infinite if sizes differ or anything is not finite
double relative_error(const Values& a, const Values& b);

}  // namespace tern
