// The quantisers and their fused forms. All are straight-through: the gradient of a quantised value
// is passed on as the gradient of the value before rounding (Bengio et al. 2013), the surrogate of
// round and clamp being the identity; no gradient flows through a scale. Where activations are
// bf16, the residual stream may be f32; norm weights, scales and statistics are f32.
#pragma once

#include "autograd/tape.h"

namespace tern {

// Rows of x (N, D) as int8: q = clamp(round(x * s), -128, 127), s = 127 / max(absmax, 1e-5).
QuantizedVar quantize_rows(const Var& x);
// A latent matrix w (O, I) as {-1, 0, 1}: round(w * s) clamped, s = 1 / max(mean |w|, 1e-5).
QuantizedVar quantize_ternary(const Var& w);
// x = q / row_scale (N, D)
Var dequantize(const QuantizedVar& x);

struct NormQuantized {
  Var sum{};                         // (N, D) x + branch; x itself without branch
  std::vector<QuantizedVar> rows{};  // (N, D) one for each weight
};

// u = rms_norm(x + branch, block_weight), then for each weight: quantise(rms_norm(u, weight)).
// x, branch (N, D); branch and block_weight may be empty Vars; block_weight, weights (D), 1 to 3.
// quantized == false keeps the normalised rows as real numbers. activations: dtype of those, and of
// the gradients of the codes; by default that of x. recompute, here and below: the rows are not
// kept but made again, from the sum, when backward first asks for one; weights must not change
// until then.
NormQuantized norm_quantize(const Var& x, const Var& branch, const Var& block_weight,
                            const std::vector<Var>& weights, double eps, bool quantized = true,
                            std::optional<DType> activations = {}, bool recompute = false);

// quantise(rms_norm(rms_norm(g, g_weight) * silu(h), weight));  g, h (N, D), g_weight, weight (D)
QuantizedVar gated_norm_quantize(const Var& g, const Var& h, const Var& g_weight, const Var& weight,
                                 double eps, bool quantized = true, bool recompute = false);

// quantise(rms_norm(silu(a) * b, weight));  ab (N, 2H) holds a then b, weight (H)
QuantizedVar swiglu_norm_quantize(const Var& ab, const Var& weight, double eps,
                                  bool quantized = true, bool recompute = false);

}  // namespace tern
