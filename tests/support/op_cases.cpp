#include "tests/support/op_cases.h"

namespace tern {

std::vector<OpCase> op_cases() {
  std::vector<OpCase> all;
  for (const auto& cases : {element_cases(), view_cases(), quantizer_cases(), product_cases(),
                            mlgru_cases(), loss_cases(), checkpoint_cases()})
    all.insert(all.end(), cases.begin(), cases.end());
  return all;
}

std::vector<OpCase> model_op_cases(const CaseSizes& s) {
  const Index N = s.B * s.T;
  const NormQuantizeForm mixer_in, glu_in{.rows = 1, .use_rows = {0}};
  return {embedding_case(N, s.V, s.D),           norm_quantize_case(N, s.D, mixer_in),
          ternary_product_case(N, s.D, s.D),     mlgru_case(s.B, s.T, s.D, true, false),
          gated_norm_quantize_case(N, s.D),      norm_quantize_case(N, s.D, glu_in),
          ternary_product_case(N, 2 * s.H, s.D), swiglu_norm_quantize_case(N, s.H),
          ternary_product_case(N, s.D, s.H),     cross_entropy_case(N, s.V, s.D)};
}

}  // namespace tern
