// Float products with int8 codes, tiled over threads and fed to the CPU's own instructions. The
// general definition, for any size, f64 and any CPU, is in core/cpu/product.cpp.
#pragma once

#include "core/cpu/code_kernels.h"
#include "core/kernels/product.h"

namespace tern::cpu {

// The kernels that can take a product over I codes of this dtype, or null: use the general way.
const CodeKernels* code_kernels_for(DType real, Index I);

// The same bits as the general way, whichever kernels are used.
void ternary_product(const CodeKernels& kernels, const TernaryProduct& a);
// The same bits for all kernels; the order of summation is fixed by the sizes alone.
void ternary_product_backward(const CodeKernels& kernels, const TernaryProductBackward& a);

}  // namespace tern::cpu
