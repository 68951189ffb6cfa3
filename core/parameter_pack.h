// All parameters of a model in one flat buffer, all gradients in another: the update, the norm and
// a checkpoint are a few calls. Decayed parameters (the ternary matrices) come first, each at the
// start of a piece that sums are taken in (kSumPiece elements); the others start at multiples of
// 64. The padding between them stays zero.
//
// Where several ranks own the parameters, each matrix belongs to one of them, the rows of a divided
// parameter to all in turn, and every rank holds the rest. Matrices are then in order of their
// owners. The buffer of gradients has everything; that of values only what this rank holds, in the
// same order. What others own is seen through copies: ternary codes, and a table of all rows.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/ownership.h"
#include "core/parameter.h"
#include "core/ternary_copies.h"

namespace tern {

// Consecutive rows of a parameter that this rank holds, and where they lie in its values.
struct Held {
  const Parameter* parameter = nullptr;
  Index first_row = 0, rows = 0, at = 0;
  Index row_elements() const { return parameter->shape.product(1, parameter->shape.rank()); }
  bool whole() const { return rows == parameter->shape[0]; }
};

// A range that an update treats alike: where it lies among all elements, and in the values here.
struct Segment {
  Range all{};
  Index at = 0;
  bool decays = false;
};

// What a pack holds in another dtype than its values.
struct PackFormats {
  std::optional<DType> gradients{};  // bf16 beside f32
  std::optional<DType> table{};      // the copy of divided parameters
};

class ParameterPack {
 public:
  // Gives every parameter a value and, if gradients, a gradient of this real dtype. The parameters
  // must outlive the pack and not move. Values are zero until they are set. share: of the
  // ownership.
  ParameterPack(Backend& backend, std::vector<Parameter*> parameters, DType dtype, bool gradients,
                Share share = {}, const PackFormats& formats = {});

  std::span<Parameter* const> parameters() const { return parameters_; }  // in flat order
  const Tensor& values() const { return values_; }        // (H) of what is held here; alone: (P)
  const Tensor& gradients() const { return gradients_; }  // (P) or nothing
  Index decayed() const { return decayed_; }  // elements [0, decayed) take part in weight decay
  Share share() const { return share_; }

  std::span<const Held> held() const { return held_; }             // in order of `at`
  std::span<const Segment> segments() const { return segments_; }  // they cover the values
  // What each rank owns alone, of all elements: its matrices and its rows, may be none.
  const std::vector<Range>& matrices_of_ranks() const { return matrices_of_; }
  const std::vector<Range>& rows_of_ranks() const { return rows_of_; }
  Range shared() const { return shared_; }               // what every rank holds
  const Parameter* divided() const { return divided_; }  // null: none, or a rank alone

  // A buffer like values() (an optimizer's moment), seen through what is held.
  Tensor view(const Tensor& flat, const Held& held) const;
  Tensor view(const Tensor& flat, const Parameter& p) const;  // of one that is held whole
  // Where a parameter lies among all elements, without and with the padding behind it.
  Range range(const Parameter& p) const;
  Range room(const Parameter& p) const;

  // Gives every decayed matrix a ternary copy, which updates then keep current. Code that changes
  // values otherwise must call sum_magnitudes() and quantize() on the copies.
  void make_ternary_copies();
  TernaryCopies* ternary() const { return ternary_.get(); }  // of those held; null: none
  TernaryWeight ternary(const Parameter& p) const;           // of one matrix, on every rank
  std::size_t place_of(const Parameter& p) const;            // in parameters()
  // Of all matrices: codes (decayed) i8, scales (M) real, stats (M, 2) f64 or nothing.
  const Tensor& codes() const { return codes_; }
  const Tensor& scales() const { return scales_; }
  const Tensor& stats() const { return stats_; }
  Range matrix_places(int rank) const;  // of those that a rank owns, among all matrices
  std::size_t copy_bytes() const;       // of all copies and what they are made of

  void begin_step();        // forget the gradients: the next writer of each overwrites
  void finish_gradients();  // zero what no micro-batch wrote

 private:
  void lay_out();
  void lay_out_owned();
  void allocate(Backend& backend, DType dtype, bool gradients, const PackFormats& formats);
  void add_segment(Range all, Index at, bool decays);

  std::vector<Parameter*> parameters_;
  Share share_;
  std::vector<int> owners_;    // of each matrix
  std::vector<Range> ranges_;  // of each parameter, among all elements
  std::vector<Held> held_{};
  std::vector<Segment> segments_{};
  std::vector<Range> matrices_of_{}, rows_of_{};
  Range shared_{};
  const Parameter* divided_ = nullptr;
  Tensor values_, gradients_, codes_{}, scales_{}, stats_{}, table_{};
  Index decayed_ = 0;
  std::unique_ptr<TernaryCopies> ternary_{};
};

}  // namespace tern
