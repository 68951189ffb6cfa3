// Plain differentiable pieces: what new token mixers are written with, and the fused kernels'
// oracle. And the loss.
#pragma once

#include "core/parameter.h"

namespace tern {

enum class UnaryFunction { exp, sigmoid, silu, reciprocal };

// y = f(x)
struct Unary {
  Tensor y{};  // out any shape, real
  Tensor x{};  // in  like y
  UnaryFunction function{};
};
struct UnaryBackward {
  Grad dx{};        // out like dy
  Tensor dy{};      // in  any shape, real
  Tensor x{}, y{};  // in  as in the forward pass
  UnaryFunction function{};
};

enum class BinaryFunction { add, subtract, multiply };

// y = a op b, where b is repeated over the leading dimensions of a that it lacks
struct Binary {
  Tensor y{};  // out like a, real
  Tensor a{};  // in  any shape
  Tensor b{};  // in  the trailing dimensions of a, or one element
  BinaryFunction function{};
};
struct BinaryBackward {
  Grad da{};        // out like a
  Grad db{};        // out like b, summed over the repetitions in their order
  Tensor dy{};      // in
  Tensor a{}, b{};  // in  as in the forward pass; empty unless the function multiplies
  BinaryFunction function{};
};

// to = factor * x, or to += factor * x
struct Accumulate {
  Grad to{};   // out any shape, stored
  Tensor x{};  // in  like to
  double factor = 1;
};

// One axis of a tensor, the others folded: x is seen as (outer, length, inner).
struct Axis {
  Index outer = 1, length = 1, inner = 1;
};

// y = sum of x along the axis
struct Sum {
  Tensor y{};  // out (outer, inner) real
  Tensor x{};  // in  (outer, length, inner) real
  Axis axis{};
};
struct SumBackward {
  Grad dx{};    // out (outer, length, inner) real
  Tensor dy{};  // in  (outer, inner) real
  Axis axis{};
};

// y = exp(x - max) / sum exp(x - max) along the axis;  dx = y * (dy - sum(dy * y))
struct Softmax {
  Tensor y{};  // out (outer, length, inner) real
  Tensor x{};  // in  like y
  Axis axis{};
};
struct SoftmaxBackward {
  Grad dx{};         // out (outer, length, inner) real
  Tensor dy{}, y{};  // in  like dx
  Axis axis{};
};

// y[k] = x[0] + ... + x[k] along the axis; from the last element backwards if reverse
struct Cumsum {
  Grad y{};    // out (outer, length, inner) real
  Tensor x{};  // in  like y
  Axis axis{};
  bool reverse = false;  // the backward pass of a cumsum is the reverse cumsum of dy
};

// y = x * rstd * w,  rstd = 1 / sqrt(mean(x^2) + eps), row by row
struct RmsNorm {
  Tensor y{};     // out (N, D) real
  Tensor rstd{};  // out (N) real
  Tensor x{};     // in  (N, D) real
  Tensor w{};     // in  (D) real
  double eps = 1e-6;
};
// With z = dy * w:  dx = rstd * (z - x * rstd^2 * mean(z * x)),  dw = sum over rows of dy * x *
// rstd.
struct RmsNormBackward {
  Grad dx{};                // out (N, D) real
  Grad dw{};                // out (D) stored
  Tensor dy{};              // in  (N, D) real
  Tensor x{}, w{}, rstd{};  // in  as in the forward pass
};

// ab = (a, b) side by side;  y = silu(a) * b                          (Shazeer 2020, SwiGLU)
struct Swiglu {
  Tensor y{};   // out (N, H) real
  Tensor ab{};  // in  (N, 2H) real
};
struct SwigluBackward {
  Grad dab{};   // out (N, 2H) real
  Tensor dy{};  // in  (N, H) real
  Tensor ab{};  // in  as in the forward pass
};

// y[n] = table[ids[n]]; of int8 codes table[ids[n]] / row_scale[ids[n]]
struct Embedding {
  Tensor y{};          // out (N, D) real
  Tensor table{};      // in  (V, D) real, or i8
  Tensor row_scale{};  // in  (V) real, of codes; else empty
  Tensor ids{};        // in  (N) i32, 0 <= id < V
};
struct EmbeddingBackward {
  Grad dtable{};  // out (V, D) stored; rows of one id are added in order of n
  Tensor dy{};    // in  (N, D) real
  Tensor ids{};   // in  (N) i32
};

inline constexpr int kIgnoreIndex = -1;  // a target that does not count

// Softmax cross entropy on a block of rows; the gradient replaces the logits.
// losses[n] = log sum exp(logits[n]) - logits[n][targets[n]], natural log; 0 where ignored.
// If gradient: logits[n] = weight * (softmax(logits[n]) - onehot(targets[n])), 0 where ignored.
struct CrossEntropy {
  Tensor losses{};   // out (N) real
  Tensor logits{};   // in, and out if gradient: (N, V) real
  Tensor targets{};  // in  (N) i32, 0 <= target < V or kIgnoreIndex
  Tensor weight{};   // in  (1) real: 1 / valid targets of the global batch
  bool gradient = false;
};

// ids[n] = where row n of x is largest: the lowest index of equals (0 and -0 are equal). A NaN
// counts as larger than any number.
struct Argmax {
  Tensor ids{};  // out (N) i32
  Tensor x{};    // in  (N, V) real
};

// ids[n] = a token drawn from softmax(logits[n] / temperature) after top_k and then top_p (Holtzman
// et al. 2020), by integers, so that no order of a sum decides:
// * Tokens are ranked by logit; of equals (0 and -0 are equal) the lower index comes first.
// * temperature 0: the first of the ranking. Nothing is drawn.
// * The weight of token i is exp((logits[i] - max) / temperature) * 2^40, computed in f64 and
//   rounded to an integer, halves to even.
// * top_k > 0 keeps the first k of the ranking.
// * top_p < 1 keeps of these the fewest, at least one, that come first and whose weights sum to
//   top_p * all or more; all is the sum of the weights that top_k keeps.
// * The token drawn is the first, in order of index, at which the running sum of the kept weights
//   exceeds floor(uniform * their sum). That number is at most their sum - 1.
// A logit that is not finite: ids[n] = -1 - the index of the row's first one.
// Backends give the same tokens unless an exp that differs in its last bit rounds to another
// integer.
struct SampleToken {
  Tensor ids{};       // out (N) i32
  Tensor logits{};    // in  (N, V) real, V <= kMostSampled
  Tensor uniforms{};  // in  (N) f64 in (0, 1]
  double temperature = 1;
  std::int64_t top_k = 0;  // 0: all
  double top_p = 1;        // 1: all
};
inline constexpr Index kMostSampled = Index(1) << 20;  // tokens: sums of weights stay below 2^61

// loss = weight * sum of losses, summed in f64 and in order
struct WeightedLoss {
  Tensor loss{};    // out (1) f64
  Tensor losses{};  // in  (N) real
  Tensor weight{};  // in  (1) real
};

}  // namespace tern
