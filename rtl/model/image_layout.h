// Where everything is in the accelerator's memory, which follows from a model's sizes.
#pragma once

#include "rtl/model/executor.h"

namespace tern::rtl {

inline constexpr std::uint64_t kHeaderBytes = 256;
inline constexpr std::uint64_t kMostImageBytes = std::uint64_t(1) << 32;  // addresses: 32 bits

struct ImageSizes {
  std::uint32_t width = 0, glu_width = 0, layers = 0, vocabulary = 0;  // D H L V
  std::uint32_t port_bits = 512;
  std::uint32_t fraction = 16;  // bits behind the point of the residual stream
  std::uint32_t bound = 0;      // 1: layers but the first have a bound of the forget gate
  bool operator==(const ImageSizes&) const = default;
};

// Bytes of the memory, from its beginning; of a record: from the record's.
struct ImageLayout {
  ArrayShape shape{};
  Executor::Lengths
      lengths{};  // n0 D, n1 H, n2 rows of the head's blocks, n3 of its last one, or 0
  struct Record {
    // vectors of int16; the products' weights are those of the layer's norm times the block's
    std::uint32_t i = 0, token_norm = 0, f = 0, g = 0, open = 0, g_norm = 0, o = 0, gate = 0,
                  channel_norm = 0, down = 0;
    std::uint32_t scalars = 0;
    struct Tiles {
      std::uint32_t i = 0, f = 0, g = 0, o = 0, a = 0, b = 0, down = 0;  // a, b: halves of gate
    } tiles{};
    std::uint32_t bytes = 0;
  } record{};
  std::uint64_t program = 0, scalars = 0, layers = 0;
  // The head's record begins like a layer's: its vector, the last norm. Then scalars and tiles.
  std::uint64_t head = 0, head_scalars = 0, head_tiles = 0;
  std::uint64_t table = 0;  // embedding: V vectors of int32
  std::uint64_t text = 0;   // what the file says beside it
  std::uint64_t state = 0;  // L vectors of int32, Q.24
  std::uint64_t sums = 0;   // V int32: those of the head, which the program leaves
  std::uint64_t bytes = 0;
  std::uint64_t head_blocks = 0, head_block_bytes = 0;  // those of lengths[2] rows
};
// Fault::usage if the accelerator cannot have such sizes, or addresses of 32 bits do not reach.
ImageLayout layout_of(const ImageSizes& sizes, std::uint64_t text_bytes);

// Order of the scalars: of all layers; of a layer; of the head.
struct SharedScalars {
  enum { eps, of_x, of_g, of_down, count };
};
struct LayerScalars {
  enum { i, f, g, o, gate, down, token_norm, channel_norm, of_o, count };
};
struct HeadScalars {
  enum { inverse, norm, count };
};

}  // namespace tern::rtl
