// One forward pass with everything it computes on the way written to files, for those who build
// the same arithmetic in hardware or another language.
#pragma once

#include "apps/trace/array_directory.h"
#include "layers/model.h"

namespace tern {

// Runs ids (B, T) through the model from a zero state. Into `out` go: the ids, every tensor that
// the pass shows its observer (codes, scales, ternary weights, products, states, bounds, logits),
// the exact int32 sum of every ternary product, gate and candidate of every recurrence, and the
// norm weights. The sums and gates are computed here on the host: no kernel keeps them.
void trace(Model& model, const Shape& shape, const std::vector<std::int32_t>& ids,
           ArrayDirectory& out);

// The same exact sums from codes q (N, I) and t (O, I): (N, O).
std::vector<std::int32_t> ternary_sums(std::span<const std::int8_t> q,
                                       std::span<const std::int8_t> t, Index I);

}  // namespace tern
