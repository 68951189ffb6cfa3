#include "rtl/model/image_layout.h"

#include <algorithm>

#include "core/check.h"

namespace tern::rtl {
namespace {

constexpr std::uint64_t aligned(std::uint64_t bytes) {
  return vector_bytes(bytes, 1);
}

// Hands out bytes from a beginning on.
class Places {
 public:
  explicit Places(std::uint64_t at = 0) : at_(at) {}
  std::uint64_t take(std::uint64_t bytes) {
    const std::uint64_t at = at_;
    at_ += aligned(bytes);
    return at;
  }
  std::uint64_t end() const { return at_; }

 private:
  std::uint64_t at_;
};

ImageLayout::Record record_of(const ImageSizes& s, const ArrayShape& shape) {
  Places places;
  const auto vector = [&](std::uint32_t n) { return std::uint32_t(places.take(2 * n)); };
  const auto tiles = [&](std::uint32_t rows, std::uint32_t columns) {
    return std::uint32_t(places.take(tiles_bytes(rows, columns, shape)));
  };
  const std::uint32_t D = s.width, H = s.glu_width;
  ImageLayout::Record r;
  for (std::uint32_t* at :
       {&r.i, &r.token_norm, &r.f, &r.g, &r.open, &r.g_norm, &r.o, &r.gate, &r.channel_norm})
    *at = vector(D);
  r.down = vector(H);
  r.scalars = std::uint32_t(places.take(LayerScalars::count * kScalarBytes));
  for (std::uint32_t* at : {&r.tiles.i, &r.tiles.f, &r.tiles.g, &r.tiles.o}) *at = tiles(D, D);
  for (std::uint32_t* at : {&r.tiles.a, &r.tiles.b}) *at = tiles(H, D);
  r.tiles.down = tiles(D, H);
  r.bytes = std::uint32_t(places.end());
  return r;
}

void require_sizes(const ImageSizes& s) {
  const auto within = [](const char* name, std::uint32_t value, std::uint32_t most) {
    require(value >= 1 && value <= most, Fault::usage, "the accelerator: ", name,
            ": expected 1 to ", most, ", got ", value);
  };
  within("hidden_size", s.width, 8191);  // sums of as many products have 22 bits
  within("intermediate_size", s.glu_width, 8191);
  within("num_hidden_layers", s.layers, 0xffff);
  within("vocab_size", s.vocabulary, 1'000'000);
  require(s.fraction >= kFewestResidualFraction && s.fraction <= kMostResidualFraction,
          Fault::usage, "the accelerator: expected ", kFewestResidualFraction, " to ",
          kMostResidualFraction, " bits behind the point of the residual stream, got ", s.fraction);
  require(s.bound <= 1, Fault::usage, "the accelerator: bound: expected 0 or 1, got ", s.bound);
}

}  // namespace

ImageLayout layout_of(const ImageSizes& s, std::uint64_t text_bytes) {
  require_sizes(s);
  ImageLayout out{.shape = array_shape(int(s.port_bits))};
  out.record = record_of(s, out.shape);
  // as long as a register, in whole rows of the array
  const auto block = std::uint32_t(vector_bytes(std::max(s.width, s.glu_width), 4) / 4);
  out.lengths = {s.width, s.glu_width, block, s.vocabulary % block};
  out.head_blocks = s.vocabulary / block;
  out.head_block_bytes = aligned(tiles_bytes(block, s.width, out.shape));
  Places places;
  places.take(kHeaderBytes);
  out.program = places.take(kMostWords * sizeof(std::uint64_t));
  out.scalars = places.take(SharedScalars::count * kScalarBytes);
  out.layers = places.take(std::uint64_t(s.layers) * out.record.bytes);
  out.head = places.take(2 * aligned(2 * s.width));
  out.head_scalars = places.take(HeadScalars::count * kScalarBytes);
  out.head_tiles = places.take(out.head_blocks * out.head_block_bytes +
                               tiles_bytes(out.lengths[3], s.width, out.shape));
  out.table = places.take(s.vocabulary * vector_bytes(s.width, 4));
  out.text = places.take(text_bytes);
  out.state = places.take(s.layers * vector_bytes(s.width, 4));
  out.sums = places.take(4 * std::uint64_t(s.vocabulary));
  out.bytes = places.end();
  require(out.bytes <= kMostImageBytes, Fault::usage,
          "the accelerator: expected a model whose image is within 4 GiB, got ", out.bytes,
          " bytes");
  return out;
}

}  // namespace tern::rtl
