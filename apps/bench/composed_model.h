// The MatMul-free model from separate ops, as a framework without fused layers computes it: every
// intermediate of a BitLinear is a tensor of its own, and weights are ternarised in each forward
// pass. The other side of `tern bench bitlinear`; the same function of the weights as Model.
#pragma once

#include "layers/model.h"

namespace tern {

// y = rows w^T of a BitLinear: rms_norm, int8 rows and a ternary matrix as real numbers, a product.
// x (N, I), norm (I), w (O, I) latent -> y (N, O)
Var composed_bit_linear(const Var& x, const Var& norm, const Var& w, double eps = 1e-6);

// weight * sum of losses as Model::loss has it. Of model.type "matmulfree", ternary; its latent
// weights must be bound. ids, targets (B, T) i32, weight (1).
Var composed_loss(Tape& tape, const Model& model, const Tensor& ids, const Tensor& targets,
                  const Tensor& weight);

}  // namespace tern
