// The ops as cases, at small odd sizes; by the functions above at any size, a model's too.
#pragma once

#include "autograd/ops.h"
#include "tests/support/op_case.h"

namespace tern {

// What norm_quantize is given, and which of its outputs somebody uses.
struct NormQuantizeForm {
  bool branch = true, block = true, quantized = true;
  int rows = 3;                        // 1 to 3
  bool use_sum = true;                 // the residual stream goes on
  std::vector<int> use_rows{0, 1, 2};  // of those
  bool exact_stream = false;           // x stays f32 where activations are bf16; needs a branch
};

OpCase norm_quantize_case(Index N, Index D, const NormQuantizeForm& form = {});
OpCase gated_norm_quantize_case(Index N, Index D, bool quantized = true);
// together: gate and up projection side by side
OpCase swiglu_norm_quantize_case(Index N, Index H, bool quantized = true, bool together = true);
OpCase ternary_product_case(Index N, Index O, Index I);
// In 8-bit floats.
OpCase fp8_case(Index N, Index O, Index I, BackwardProducts backward);
// Products with fp8_dx whose gradients come from the three ops that make 8-bit floats of them. On
// views they do not, so the products must; that changes no bit.
OpCase fp8_rows_case(Index N, Index D, Index H, bool on_views,
                     BackwardProducts backward = BackwardProducts::fp8_dx);
OpCase bit_linear_case(Index N, Index O, Index I);
OpCase remade_norm_case(Index N, Index O, Index I);  // a product whose rows are made again
OpCase remade_gate_case(Index N, Index O, Index I);
OpCase mlgru_case(Index B, Index T, Index D, bool bound, bool initial);
OpCase rotary_case(Index B, Index T, Index D, const RotaryOptions& options, bool together);
// given the only Tensor of its input
OpCase rotary_in_place_case(Index B, Index T, Index D, const RotaryOptions& options);
OpCase attention_case(Index B, Index T, Index D, Index heads);
OpCase swiglu_case(Index N, Index H);
OpCase rms_norm_case(Index N, Index D);
OpCase matmul_case(Index N, Index O, Index I);
OpCase embedding_case(Index N, Index V, Index D);

struct CrossEntropyForm {
  Index rows_per_chunk = 1024;
  int ignore_every = 0;  // 1: all targets, 3: every third, 0: none
  bool quantized = true;
};
OpCase cross_entropy_case(Index N, Index V, Index I, const CrossEntropyForm& form = {});

std::vector<OpCase> element_cases();    // unary, binary, along an axis
std::vector<OpCase> view_cases();       // slice, reshape, concatenate, embedding
std::vector<OpCase> quantizer_cases();  // alone and fused with norms
std::vector<OpCase> product_cases();
std::vector<OpCase> mlgru_cases();
std::vector<OpCase> attention_cases();
std::vector<OpCase> loss_cases();
std::vector<OpCase> checkpoint_cases();
std::vector<OpCase> op_cases();  // all of these

}  // namespace tern
