// The end of a column sum over rows: the partial sums of thread blocks, added in an order that
// depends on their number and on D alone.
#pragma once

#include <cuda_runtime_api.h>

#include <span>

#include "core/kernels.h"

namespace tern::cuda {

// to[k] (D) = or += sum over p of parts[p][k], parts (P, to.size(), D) f32, to[k] f32 or bf16; at
// most four, an empty one is skipped
void add_column_sums(std::span<const Grad> to, float* parts, Index P, Index D, cudaStream_t stream);

}  // namespace tern::cuda
