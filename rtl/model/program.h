// The program of one token, of a model of any depth: LOOP runs the layers. It keeps the array of
// products busy: what a product needs is prepared while the one before it runs.
#pragma once

#include "rtl/model/image_layout.h"

namespace tern::rtl {

// Its words, at most kMostWords. When it halts, x is v0, the head's scale s4, and memory holds the
// head's sums and the new states.
std::vector<std::uint64_t> token_program(const ImageSizes& sizes, const ImageLayout& layout);

}  // namespace tern::rtl
