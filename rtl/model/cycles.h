// How many cycles tern_core takes for a token, from a model's sizes. The bus never stalls: memory
// takes a request a cycle and answers it after `latency` cycles, below three bursts, a beat a
// cycle. Holds where each product takes longer than what runs beside it (docs/accelerator.md); no
// cycle depends on data.
#pragma once

#include "rtl/model/image_layout.h"

namespace tern::rtl {

struct CoreShape {
  int lanes = 16;   // P of tern_core: elements of a vector a cycle
  int latency = 1;  // cycles
};

struct TokenCycles {
  std::int64_t begin = 0;  // until the first product
  std::int64_t layer = 0;  // the last one
  std::int64_t head = 0;   // with what follows its last product
  std::int64_t total = 0;
};
TokenCycles token_cycles(const ImageSizes& sizes, const CoreShape& core);

// Beats of weights of a layer, of the head: what the array takes, one a cycle.
std::int64_t layer_tiles(const ImageSizes& sizes);
std::int64_t head_tiles(const ImageSizes& sizes);

}  // namespace tern::rtl
