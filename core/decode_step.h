// One token of each of B sequences through a whole MatMul-free model, for devices that compute it
// faster in one piece than layer by layer. The arithmetic is that of the layers with f32
// activations; where it is folded, docs/numerics.md says what that does to bits.
#pragma once

#include <vector>

#include "core/tensor.h"

namespace tern {

// A BitLinear: its matrix (O, I) t2, its scale f32, and the weights (I) f32 of its own norm.
struct DecodeMatrix {
  TernaryWeight weight{};
  Tensor norm{};
};

struct DecodeLayer {
  Tensor token_norm{}, channel_norm{};  // (D) f32
  DecodeMatrix i{}, f{}, g{}, o{}, gate{}, down{};
  Tensor g_norm{};    // (D) f32
  Tensor bound{};     // (D) f32 of the forget gate, or empty: 0
  Tensor state[2]{};  // (B, D) f32
};

struct DecodeModel {
  std::vector<DecodeLayer> layers{};
  Tensor table{};      // (V, D) f32, bf16 or i8
  Tensor row_scale{};  // (V) f32 of i8, or empty
  Tensor norm{};       // (D) f32, the last one
  DecodeMatrix head{};
  double eps = 1e-6;
};

class DecodeStep {
 public:
  virtual ~DecodeStep() = default;
  // Reads ids (B) i32, negative ones as 0: from each layer's state[from], 0 or 1, to its other one,
  // so that they can be taken back; logits (B, V) f32 of what follows them.
  virtual void run(const Tensor& logits, const Tensor& ids, int from) = 0;
  // run() returns before the token is there: the next one can be begun meanwhile.
  virtual bool is_asynchronous() const { return false; }
};

}  // namespace tern
