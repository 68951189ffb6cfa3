// Causal attention by kernels of this folder: every size, f32 and bf16.
#pragma once

#include <cuda_runtime_api.h>

#include "core/workspace.h"

namespace tern::cuda {

void plain_attention(const Attention& a, cudaStream_t stream);
// e: (B, heads, T) f32, memory for its sums
void plain_attention_backward(const AttentionBackward& a, float* e, cudaStream_t stream);

// Few steps after many, as in generation. parts: memory for what `splits` blocks make of one query,
// (B, heads, T, splits, d + 2) f32, unless it is one.
void attention_of_few_steps(const Attention& a, Index splits, float* parts, cudaStream_t stream);

}  // namespace tern::cuda
