// The ternary copies of decayed matrices of a pack, made together: codes in one flat buffer with
// the layout of the weights, a scale for each matrix, and the sums of |w| that scales are made of.
#pragma once

#include <span>

#include "core/kernels/quantize.h"

namespace tern {

class TernaryCopies {
 public:
  struct Place {  // of one matrix in the flat buffer, in elements; first: a multiple of kSumPiece
    Index first = 0, count = 0;
  };
  struct Room {  // t (n) i8; scales (M) real; stats (M, 2) f64, or nothing: no counts
    Tensor t{}, scales{}, stats{};
  };
  // weights: (n) real, n whole pieces, zero between the matrices. The copies are written to `room`,
  // which starts as zeros.
  TernaryCopies(const Tensor& weights, std::span<const Place> matrices, const Room& room);

  const Tensor& codes() const { return room_.t; }        // (n) i8
  const Tensor& scales() const { return room_.scales; }  // (M) real
  const Tensor& magnitudes() const { return sums_; }     // (pieces) f64, which an update writes
  const Tensor& stats() const { return room_.stats; }    // (M, 2) f64, of the last that counted
  std::size_t bytes() const;                             // of what is kept beside the room

  void sum_magnitudes();              // after a change of the weights that was no update
  void quantize(bool count = false);  // from the weights and their sums; count: fills stats()

 private:
  Room room_;
  Tensor weights_, sums_;
  TernaryLayout layout_{};
};

}  // namespace tern
