// Causal self-attention with rotary position embedding: the token mixer of the Transformer.
// heads: number of heads, each of d = D / heads channels, side by side in a row of D.
#pragma once

#include "core/parameter.h"

namespace tern {

// Rotary position embedding: in each head of q and k channels i and i + d/2, i < d/2, are rotated
// by the angle position * theta^(-2i/d), position = first + t, computed in f64. (Su et al. 2021,
// arXiv 2104.09864; the pairs are those of Llama.) v is copied;
// with all three in one tensor, that may be the output, and v stays as it is.
// With ternary each head's row of q and of k is then rounded: clamp(round(x s), -1, 1) / s with
// s = 1 / max(mean |x|, 1e-5) over the head, halves to even, NaN if the row is not finite.
struct Rotary {
  Tensor qkv{};           // out (B, T, 3D) real: q, k, v side by side
  Tensor q{}, k{}, v{};   // in  (B, T, D) real each; or q (B, T, 3D), all three, and no k, v
  Index heads = 1;        // of D / heads channels, an even number
  Index first = 0;        // position of the first step
  double theta = 10'000;  // base of the wave lengths
  bool ternary = false;
};
// The opposite rotation; straight-through where it is rounded. dq may lie where dqkv does.
struct RotaryBackward {
  Grad dq{}, dk{}, dv{};  // out as q, k, v
  Tensor dqkv{};          // in  (B, T, 3D) real
  Index heads = 1, first = 0;
  double theta = 10'000;
};

// For each sequence and head:
// out[t] = sum over s <= t of p[t, s] v[s],  p[t, .] = softmax(q[t] . k[s] / sqrt(d)).
// Positions before the first step have their keys and values in `earlier`.
//                                                  (Vaswani et al. 2017, arXiv 1706.03762)
struct Attention {
  Tensor out{};      // out (B, T, D) real
  Tensor log_sum{};  // out (B, heads, T) real, log of the sum of exp, natural; or empty
  Tensor qkv{};      // in  (B, T, 3D) real: q, k, v side by side
  Tensor earlier{};  // in  (B, C, 2D) real: k, v side by side, C >= seen; or empty
  Index seen = 0;    // positions in `earlier` that count
  Index heads = 1;
};
// Without earlier positions. With dp = dout v and e[t] = sum over s of p dp = dout[t] . out[t]:
// ds = p (dp - e) / sqrt(d);  dq = ds k,  dk = ds^T q,  dv = p^T dout.
struct AttentionBackward {
  Grad dqkv{};                     // out (B, T, 3D) real
  Tensor dout{};                   // in  (B, T, D) real
  Tensor out{}, log_sum{}, qkv{};  // in  as in the forward pass
  Index heads = 1;
};

// cache[b, at + t] = (k, v) of qkv[b, t]
struct StoreKeysValues {
  Tensor cache{};  // in, out (B, C, 2D) real
  Tensor qkv{};    // in      (B, T, 3D) real, at + T <= C
  Index at = 0;
};

}  // namespace tern
