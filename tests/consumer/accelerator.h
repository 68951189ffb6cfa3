// Stands for what another team builds: a ternary accumulator array and a recurrent unit. It shares
// no code with tern and does not include it.
#pragma once

#include <cstdint>
#include <vector>

namespace accelerator {

// sums (N, O): for each of the N rows of q and O rows of t, both I long, the sum of the activations
// where the code is +1 minus the sum where it is -1. No multiplication.
std::vector<std::int32_t> ternary_sums(const std::vector<std::int8_t>& q,
                                       const std::vector<std::int8_t>& t, int N, int O, int I);

// h (T, D) of the gated recurrence from its inputs (T, D) before sigmoid and SiLU, and the lower
// bound (D) of the forget gate. Starts from zero.
std::vector<double> scan(const std::vector<double>& f_in, const std::vector<double>& c_in,
                         const std::vector<double>& bound, int T, int D);

}  // namespace accelerator
