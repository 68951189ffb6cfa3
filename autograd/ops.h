// All differentiable ops. First the plain ones, enough to write a new token mixer without a kernel;
// then the quantisers, products, the loss and the recurrence.
// Axes count from 0; negative ones from the end. Every op throws Error if shapes do not fit.
#pragma once

#include <functional>

#include "autograd/tape.h"

namespace tern {

Var exp(const Var& x);
Var sigmoid(const Var& x);
Var silu(const Var& x);        // x * sigmoid(x)
Var reciprocal(const Var& x);  // 1 / x

// b has the shape of a, or of its trailing dimensions, or one element; it is repeated over the
// rest.
Var add(const Var& a, const Var& b);
Var subtract(const Var& a, const Var& b);
Var multiply(const Var& a, const Var& b);
Var scale(const Var& x, double factor);

Var sum(const Var& x, int axis);  // the axis disappears; of a vector: (1)
Var softmax(const Var& x, int axis);
Var cumsum(const Var& x, int axis);

// y (..., O) = x (..., I) w (O, I)^T
Var matmul(const Var& x, const Var& w);
// y (..., D) = x / sqrt(mean(x^2) + eps) * w (D), over the last dimension
Var rms_norm(const Var& x, const Var& w, double eps = 1e-6);
// y (ids..., D) = table (V, D) [ids];  ids i32, the caller has checked 0 <= id < V. rows: dtype of
// y, by default the table's. row_scale (V): of a table in int8, which has no gradient.
Var embedding(const Var& table, const Tensor& ids, std::optional<DType> rows = {},
              const Tensor& row_scale = {});

// Views: no copy, the gradient goes straight into the parent's.
Var slice(const Var& x, Index first, Index count);  // rows of the leading dimension
Var reshape(const Var& x, Shape shape);
// parts one after the other along the leading dimension
Var concatenate(const std::vector<Var>& parts);

// The quantisers and their fused forms. All are straight-through: the gradient of a quantised value
// is passed on as the gradient of the value before rounding (Bengio et al. 2013), the surrogate of
// round and clamp being the identity; no gradient flows through a scale. Where activations are
// bf16, the residual stream may be f32; norm weights, scales and statistics are f32.

// Rows of x (N, D) as int8: q = clamp(round(x * s), -128, 127), s = 127 / max(absmax, 1e-5).
QuantizedVar quantize_rows(const Var& x);
// A latent matrix w (O, I) as {-1, 0, 1}: round(w * s) clamped, s = 1 / max(mean |w|, 1e-5).
QuantizedVar quantize_ternary(const Var& w);
// x = q / row_scale (N, D)
Var dequantize(const QuantizedVar& x);

// How quantised rows reach backward: kept; or made again, from the sum, when backward first asks
// for one, as codes or, where activations are bf16, as the quotients that products in bf16
// multiply. Weights must not change until then.
enum class RowsAgain { no, quotients, codes };

struct NormQuantized {
  Var sum{};                         // (N, D) x + branch; x itself without branch
  std::vector<QuantizedVar> rows{};  // (N, D) one for each weight
};

// u = rms_norm(x + branch, block_weight), then for each weight: quantise(rms_norm(u, weight)).
// x, branch (N, D); branch and block_weight may be empty Vars; block_weight, weights (D), 1 to 3.
// quantized == false keeps the normalised rows as real numbers. activations: dtype of those, and of
// the gradients of the codes; by default that of x.
NormQuantized norm_quantize(const Var& x, const Var& branch, const Var& block_weight,
                            const std::vector<Var>& weights, double eps, bool quantized = true,
                            std::optional<DType> activations = {}, RowsAgain again = {});

// quantise(rms_norm(rms_norm(g, g_weight) * silu(h), weight));  g, h (N, D), g_weight, weight (D)
QuantizedVar gated_norm_quantize(const Var& g, const Var& h, const Var& g_weight, const Var& weight,
                                 double eps, bool quantized = true, RowsAgain again = {});

// quantise(rms_norm(silu(a) * b, weight));  ab (N, 2H) holds a then b, weight (H)
QuantizedVar swiglu_norm_quantize(const Var& ab, const Var& weight, double eps,
                                  bool quantized = true, RowsAgain again = {});
// a, b (N, H) each
QuantizedVar swiglu_norm_quantize(const Var& a, const Var& b, const Var& weight, double eps,
                                  bool quantized = true, RowsAgain again = {});

// silu(a) * b (N, H);  ab (N, 2H) holds a then b. recompute: not kept but made again in backward
Var swiglu(const Var& ab, bool recompute = false);

// Ternary products and the BitLinear layer's arithmetic.   (arXiv 2406.02528, BitLinear)

// Integers up to 2^24 are exact in f32, codes up to 127: sums of this many products are exact.
inline constexpr Index kMaxExactInputs = (1 << 24) / 127;

// y (N, O) = dequantised x (N, I) times dequantised w (O, I) transposed; the integer sum is exact.
// With empty scales (nothing quantised) a plain matmul. y is of x's value dtype. backward: which
// gradients are made of dy rounded to fp8 (core/kernels/product.h), faster on some GPUs. Weights at
// two bits (t2) have no backward pass: then x and w are on no tape. see_underflow is called in
// backward with fp8, with TernaryProductBackward's underflow (1) f64.
Var ternary_product(const QuantizedVar& x, const QuantizedVar& w, BackwardProducts backward = {},
                    std::function<void(const Tensor&)> see_underflow = {});

// y = ternary_product(quantise(rms_norm(x, norm_weight)), w);  x (N, I), norm_weight (I), y (N, O)
Var bit_linear(const Var& x, const Var& norm_weight, const QuantizedVar& w, double eps = 1e-6);

struct CrossEntropyOutput {
  Var loss{};       // (1) f64: weight * sum of losses
  Tensor losses{};  // (N) real, natural log; 0 where the target is kIgnoreIndex
};

// The language-model head and its loss in chunks over rows: the logits of the batch never exist.
// logits = ternary_product(x, w), compared with targets (N) i32, 0 <= target < V or kIgnoreIndex.
// weight (1) real: 1 / number of valid targets of the global batch. x (N, I), w (V, I).
// The gradients by x and w are computed here, chunk by chunk, for a loss gradient of 1: on a tape
// the loss is one of those that backward starts from, and no op takes it (Tape::record_loss): scale
// `weight` instead. Memory: one chunk of logits, (rows_per_chunk, V), of x's value
// dtype.
CrossEntropyOutput cross_entropy(const QuantizedVar& x, const QuantizedVar& w,
                                 const Tensor& targets, const Tensor& weight,
                                 Index rows_per_chunk = 1024);

// Rotary position embedding, and q, k, v side by side: (B, T, 3D). Of each of `heads` heads of q
// and k, channels i and i + d/2 are rotated by position * theta^(-2i/d), d = D / heads even; the
// first step's position is `first`. ternary: a head's row of q and k is then rounded to {-m, 0, m},
// m = mean |x|, straight-through.       (Su et al. 2021, arXiv 2104.09864; the pairs are Llama's)
struct RotaryOptions {
  Index heads = 1, first = 0;
  double theta = 10'000;
  bool ternary = false;
};
// qkv (B, T, 3D), rotated where it lies if the caller moves the only Tensor of that memory here; or
// q, k, v (B, T, D) each
Var rotary(Var qkv, const RotaryOptions& options);
Var rotary(const Var& q, const Var& k, const Var& v, const RotaryOptions& options);

// Keys and values of earlier positions, in inference: earlier (B, C, 2D), of which the first `seen`
// positions count.
struct KeyValueCache {
  Tensor earlier{};
  Index seen = 0;
};
// Causal attention, of each head on its own: softmax(q k^T / sqrt(d)) v, (B, T, D). qkv (B, T, 3D)
// as rotary leaves them.               (Vaswani et al. 2017, arXiv 1706.03762)
Var attention(const Var& qkv, Index heads, const KeyValueCache& cache = {});

// What a model says of known tokens.
struct TokenScores {
  Tensor losses{};     // (N) real: minus the natural log of each target's probability; 0 if ignored
  Tensor likeliest{};  // (N) i32: the token of the largest logit, the lowest of equals
};

// The same head as in cross_entropy, for reading only: nothing is recorded. targets (N) i32.
TokenScores token_scores(const QuantizedVar& x, const QuantizedVar& w, const Tensor& targets,
                         Index rows_per_chunk = 1024);

struct MlgruOutput {
  Var h{};        // (B, T, D)
  Tensor last{};  // (B, D) h[T-1], to go on from; only if asked for
};

// The MatMul-free token mixer's recurrence.               (arXiv 2406.02528, section MLGRU)
// f = sigmoid(f_in), with a bound f = bound + (1 - bound) f;  c = silu(c_in);
// h[t] = f[t] h[t-1] + (1 - f[t]) c[t].  f_in, c_in (B, T, D); bound (D) in [0, 1) or empty;
// initial (B, D), the state before the first step, or empty: zeros. With bf16 inputs h is bf16; the
// bound and the states are f32, and the recurrence runs in f32. recompute: h is not kept but made
// again in backward; initial must not change until then.
MlgruOutput mlgru(const Var& f_in, const Var& c_in, const Var& bound = {}, const Var& initial = {},
                  bool want_last = false, bool recompute = false);

}  // namespace tern
