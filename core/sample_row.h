// What the kernel SampleToken does to one row: the CPU backend's rows, and logits on the host.
#pragma once

#include <span>

#include "core/kernels/primitives.h"

namespace tern {

// The token drawn from logits (V), 1 <= V <= kMostSampled, or -1 - the index of the first that is
// not finite. rule: its tensors are not used. R is float or double.
template <class R>
std::int32_t sample_row(std::span<const R> logits, double uniform, const SampleToken& rule);

}  // namespace tern
