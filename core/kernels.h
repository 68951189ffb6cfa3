// What each kernel computes: formula, shapes, dtypes. Every backend implements exactly these.
// B batch, T time steps, D width, H hidden width of the GLU, I inputs, O outputs, V vocabulary,
// N = B*T rows. "real" is f32 or f64, the same for all real fields of one struct. "stored" is what
// gradients of parameters are kept in: real, or bf16 beside f32. Then a kernel computes its part in
// f32, adds what is there if it must, and rounds once, to nearest, halves to even.
#pragma once

#include "core/kernels/loss.h"
#include "core/kernels/mlgru.h"
#include "core/kernels/norm_quantize.h"
#include "core/kernels/optimizer.h"
#include "core/kernels/primitives.h"
#include "core/kernels/product.h"
#include "core/kernels/quantize.h"

namespace tern {

// What a kernel moves and computes at least: the roof it is measured against.
struct Cost {
  double flops = 0;  // multiplications and additions of matrix products; element-wise work is 0
  double bytes = 0;  // read plus written, each tensor once
};

Cost cost(const Unary&);
Cost cost(const UnaryBackward&);
Cost cost(const Binary&);
Cost cost(const BinaryBackward&);
Cost cost(const Accumulate&);
Cost cost(const Sum&);
Cost cost(const SumBackward&);
Cost cost(const Softmax&);
Cost cost(const SoftmaxBackward&);
Cost cost(const Cumsum&);
Cost cost(const RmsNorm&);
Cost cost(const RmsNormBackward&);
Cost cost(const Embedding&);
Cost cost(const EmbeddingBackward&);
Cost cost(const Matmul&);
Cost cost(const MatmulBackward&);
Cost cost(const TernaryProduct&);
Cost cost(const TernaryProductBackward&);
Cost cost(const QuantizeRows&);
Cost cost(const SumMagnitudes&);
Cost cost(const QuantizeTernary&);
Cost cost(const PackTernary&);
Cost cost(const UnpackTernary&);
Cost cost(const Dequantize&);
Cost cost(const NormQuantize&);
Cost cost(const NormQuantizeBackward&);
Cost cost(const GatedNormQuantize&);
Cost cost(const GatedNormQuantizeBackward&);
Cost cost(const SwigluNormQuantize&);
Cost cost(const SwigluNormQuantizeBackward&);
Cost cost(const Mlgru&);
Cost cost(const MlgruBackward&);
Cost cost(const CrossEntropy&);
Cost cost(const WeightedLoss&);
Cost cost(const SquaredNorm&);
Cost cost(const DecideUpdate&);
Cost cost(const AdamW&);

}  // namespace tern
