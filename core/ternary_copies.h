// The ternary copies of all decayed matrices of a pack, made together: codes in one flat buffer
// with the pack's layout, one scale for each matrix, and the sums of |w| that scales are made of.
#pragma once

#include <span>

#include "core/kernels/quantize.h"

namespace tern {

class TernaryCopies {
 public:
  struct Place {  // of one matrix in the flat buffer, in elements; first: a multiple of kSumPiece
    Index first = 0, count = 0;
  };
  // weights: (n) real, n whole pieces, zero between the matrices. counts: there is room for
  // stats(). The codes are zero until the first quantize().
  TernaryCopies(const Tensor& weights, std::span<const Place> matrices, bool counts);

  Index matrices() const { return scales_.elements(); }  // M
  const Tensor& codes() const { return codes_; }         // (n) i8
  const Tensor& scales() const { return scales_; }       // (M) real
  const Tensor& magnitudes() const { return sums_; }     // (pieces) f64, which an update writes
  const Tensor& stats() const { return stats_; }         // (M, 2) f64, of the last that counted
  std::size_t bytes() const;                             // all that is kept

  void sum_magnitudes();              // after a change of the weights that was no update
  void quantize(bool count = false);  // from the weights and their sums; count: fills stats()

 private:
  Tensor weights_, codes_, scales_, sums_, stats_{};
  TernaryLayout layout_{};
};

}  // namespace tern
