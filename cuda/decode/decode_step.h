#pragma once

#include "core/decode_step.h"
#include "cuda/backend/cuda_backend.h"

namespace tern::cuda {

enum class DecodeForm { kernel, graph };

// kernel: one sequence in one kernel; graph: 1 to 256 sequences, two kernels a stage. null: it
// takes no such model, number of sequences or GPU.
std::unique_ptr<DecodeStep> make_decode_step(CudaBackend& on, const DecodeModel& model,
                                             DecodeForm form);

}  // namespace tern::cuda
