#include "rtl/model/cycles.h"

#include <algorithm>
#include <bit>

namespace tern::rtl {
namespace {

using Cycles = std::int64_t;

Cycles quotient_up(Cycles a, Cycles b) {
  return (a + b - 1) / b;
}
int log2_of(int power) {
  return std::bit_width(unsigned(power)) - 1;
}
Cycles tiles_of(const ArrayShape& array, Cycles rows, Cycles columns) {
  return quotient_up(rows, array.rows) * quotient_up(columns, array.columns);
}

// Time goes on with what the array does. Beside it, the queue of tiles fills while the array waits
// and is used up while vectors are read through the same port.
class Clock {
 public:
  Clock(const ImageSizes& sizes, const CoreShape& core)
      : array_(array_shape(int(sizes.port_bits))),
        core_(core),
        beat_bytes_(sizes.port_bits / 8),
        room_(kQueue - (sizes.port_bits == 8 ? 64 : 32) - core.latency) {}

  Cycles now = 0;

  // Of the port: its beats, or the slices that they become.
  Cycles load(Cycles words, Cycles bytes) const {
    return std::max(quotient_up(words * bytes, beat_bytes_),
                    bytes == kScalarBytes ? words : quotient_up(words, core_.lanes));
  }
  // that something waits for
  void wait_for_load(Cycles cycles) { now += cycles + core_.latency + 13; }

  void product(Cycles rows, Cycles columns, Cycles loads = 0) {
    const Cycles blocks = quotient_up(columns, array_.columns);
    const Cycles needed = quotient_up(rows, array_.rows) * std::max<Cycles>(blocks, array_.rows);
    const Cycles free = needed - tiles_of(array_, rows, columns);
    level_ += free - loads;
    now += needed + std::max<Cycles>(-level_, 0);
    level_ = std::clamp<Cycles>(level_, 0, room_);
  }
  // the next product has its codes already
  void next_product() { idle(4); }
  // The next product waits: the last sums of `rows`, the operation on them, the reciprocal of its
  // statistic, and codes of a row of n. squares: those of the row are made a scalar first
  void turn(Cycles rows, Cycles n, bool squares = false) {
    const Cycles last_rows = rows - (quotient_up(rows, array_.rows) - 1) * array_.rows;
    idle(log2_of(array_.columns) + kSumLatency + last_rows + kSlice + row_and_codes(n) +
         (squares ? kOfSquares : 0));
  }
  // the same of a vector that is there
  void begin(Cycles n) { idle(quotient_up(n, core_.lanes) + kSlice + row_and_codes(n)); }
  // largest sum and store of the last block of the head, behind its last tile
  void end(Cycles rows) {
    const Cycles slices = quotient_up(rows, core_.lanes);
    const Cycles last_rows = rows - (quotient_up(rows, array_.rows) - 1) * array_.rows;
    now += log2_of(array_.columns) + kSumLatency + last_rows;
    now += slices + log2_of(core_.lanes) + kArgmax;
    now += std::max(5 * slices, quotient_up(4 * rows, beat_bytes_)) + kStore;
  }

 private:
  static constexpr Cycles kQueue = 512;      // beats
  static constexpr Cycles kSumLatency = 5;   // tern_tmm, beside its tree
  static constexpr Cycles kSlice = 4;        // from a slice's address to the unit
  static constexpr Cycles kStatistic = 21;   // tern_row, beside the tree
  static constexpr Cycles kReciprocal = 41;  // tern_scalar, with the step to it
  static constexpr Cycles kCodes = 25;       // tern_quantizer, with the steps to and from it
  static constexpr Cycles kOfSquares = 4;
  static constexpr Cycles kArgmax = 11, kStore = 14;

  Cycles row_and_codes(Cycles n) const {
    const Cycles behind = quotient_up(n, core_.lanes) - quotient_up(n, array_.columns);
    return log2_of(core_.lanes) + kStatistic + kReciprocal + kCodes + behind;
  }
  void idle(Cycles cycles) {
    now += cycles;
    level_ = std::min(room_, level_ + cycles);
  }

  const ArrayShape array_;
  const CoreShape core_;
  const Cycles beat_bytes_, room_;
  Cycles level_ = 0;  // of the queue, as far as it is more than the array needs
};

}  // namespace

TokenCycles token_cycles(const ImageSizes& sizes, const CoreShape& core) {
  const Cycles D = sizes.width, H = sizes.glu_width;
  const ImageLayout at = layout_of(sizes, 0);
  Clock clock(sizes, core);
  const Cycles norm = clock.load(D, 2), vector = clock.load(D, 4);
  clock.wait_for_load(vector);
  clock.wait_for_load(clock.load(SharedScalars::count, kScalarBytes));
  clock.wait_for_load(norm);
  clock.begin(D);
  TokenCycles out{.begin = clock.now};
  for (std::uint32_t l = 0; l < sizes.layers; ++l) {
    const Cycles start = clock.now;
    const Cycles scalars = clock.load(LayerScalars::count, kScalarBytes);
    clock.product(D, D, scalars + vector + (sizes.bound ? 5 : 4) * norm);  // i
    clock.next_product();
    clock.product(D, D, norm);  // f
    clock.next_product();
    clock.product(D, D, norm + clock.load(H, 2));  // g
    clock.turn(D, D, true);
    clock.product(D, D);  // o
    clock.turn(D, D);
    clock.product(H, D, norm);  // the halves of gate
    clock.next_product();
    clock.product(H, D);
    clock.turn(H, H);
    clock.product(D, H, norm);  // down
    clock.turn(D, D);
    out.layer = clock.now - start;
  }
  const Cycles start = clock.now;
  const Cycles rest = at.lengths[3];
  for (std::uint64_t block = 0; block < at.head_blocks; ++block) {
    if (block > 0) clock.next_product();
    clock.product(at.lengths[2], D);
  }
  if (rest > 0) {
    if (at.head_blocks > 0) clock.next_product();
    clock.product(rest, D);
  }
  clock.end(rest > 0 ? rest : at.lengths[2]);
  out.head = clock.now - start;
  out.total = clock.now;
  return out;
}

std::int64_t layer_tiles(const ImageSizes& sizes) {
  const ArrayShape array = array_shape(int(sizes.port_bits));
  const Cycles D = sizes.width, H = sizes.glu_width;
  return 4 * tiles_of(array, D, D) + 2 * tiles_of(array, H, D) + tiles_of(array, D, H);
}

std::int64_t head_tiles(const ImageSizes& sizes) {
  return tiles_of(array_shape(int(sizes.port_bits)), sizes.vocabulary, sizes.width);
}

}  // namespace tern::rtl
