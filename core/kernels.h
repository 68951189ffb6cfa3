// What each kernel computes: formula, shapes, dtypes. Every backend implements exactly these.
// B batch, T time steps, D width, H hidden width of the GLU, I inputs, O outputs, V vocabulary,
// N = B*T rows. "real" is f32 or f64, the same for all real fields of one struct. "stored" is what
// gradients of parameters are kept in: real, or bf16 beside f32. Then a kernel computes its part in
// f32, adds what is there if it must, and rounds once, to nearest, halves to even.
#pragma once

#include "core/kernels/attention.h"
#include "core/kernels/mlgru.h"
#include "core/kernels/optimizer.h"
#include "core/kernels/primitives.h"
#include "core/kernels/product.h"
#include "core/kernels/quantize.h"

// Every kernel, once: TERN_KERNELS(each) is each(Unary) each(UnaryBackward) ... Backends declare
// their run() by it.
// clang-format off
#define TERN_KERNELS(each) \
  each(Unary) each(UnaryBackward) \
  each(Binary) each(BinaryBackward) \
  each(Accumulate) \
  each(Sum) each(SumBackward) \
  each(Softmax) each(SoftmaxBackward) \
  each(Cumsum) \
  each(RmsNorm) each(RmsNormBackward) \
  each(Swiglu) each(SwigluBackward) \
  each(Embedding) each(EmbeddingBackward) \
  each(Matmul) each(MatmulBackward) \
  each(TernaryProduct) each(TernaryProductBackward) \
  each(QuantizeRows) each(SumMagnitudes) each(QuantizeTernary) each(PackTernary) each(UnpackTernary) each(Dequantize) \
  each(NormQuantize) each(NormQuantizeBackward) \
  each(GatedNormQuantize) each(GatedNormQuantizeBackward) \
  each(SwigluNormQuantize) each(SwigluNormQuantizeBackward) \
  each(Mlgru) each(MlgruBackward) \
  each(Rotary) each(RotaryBackward) \
  each(Attention) each(AttentionBackward) each(StoreKeysValues) \
  each(CrossEntropy) each(Argmax) each(SampleToken) each(WeightedLoss) \
  each(SquaredNorm) each(DecideUpdate) each(AdamW)
// clang-format on

namespace tern {

// What a kernel moves and computes at least: the roof it is measured against.
struct Cost {
  double flops = 0;  // multiplications and additions of matrix products; element-wise work is 0
  double bytes = 0;  // read plus written, each tensor once
};

#define TERN_COST(Kernel) Cost cost(const Kernel&);
TERN_KERNELS(TERN_COST)
#undef TERN_COST

}  // namespace tern
