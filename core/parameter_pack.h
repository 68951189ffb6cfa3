// Weights to train: all parameters of a model in one flat buffer, all gradients in another, so that
// the update, the norm and a checkpoint are a few calls. Parameters that one rank may own whole
// come first (the matrices), then those whose rows ranks share, then the others; each begins at a
// multiple of its alignment. The padding between them stays zero.
//
// Where several ranks own the parameters, matrices are in order of their owners. The buffer of
// gradients has everything; that of values only what this rank holds, in the same order. What
// others own is read from copies: ternary codes, and a table of all rows.
#pragma once

#include <optional>

#include "core/kernels/quantize.h"
#include "core/ownership.h"
#include "core/parameter.h"

namespace tern {

// The ternary copies of decayed matrices of a pack, made together: codes in one flat buffer with
// the layout of the weights, a scale for each matrix, and the sums of |w| that scales are made of.
class TernaryCopies {
 public:
  struct Matrix {  // its elements in the flat buffer; first: a multiple of kSumPiece
    Index first = 0, count = 0;
  };
  struct Buffers {  // t (n) i8; scales (M) real; stats (M, 2) f64, or nothing: no counts
    Tensor t{}, scales{}, stats{};
  };
  // weights: (n) real, n whole pieces, zero between the matrices. The copies are written to
  // `buffers`, which starts as zeros.
  TernaryCopies(const Tensor& weights, std::span<const Matrix> matrices, const Buffers& buffers);

  const Tensor& codes() const { return buffers_.t; }        // (n) i8
  const Tensor& scales() const { return buffers_.scales; }  // (M) real
  const Tensor& magnitudes() const { return sums_; }        // (pieces) f64, which an update writes
  const Tensor& stats() const { return buffers_.stats; }    // (M, 2) f64, of the last that counted
  std::size_t bytes() const;                                // of what is kept beside the buffers

  void sum_magnitudes();              // after a change of the weights that was no update
  void quantize(bool count = false);  // from the weights and their sums; count: fills stats()

 private:
  Buffers buffers_;
  Tensor weights_, sums_;
  TernaryLayout layout_{};
};

// Consecutive rows of a parameter that this rank holds, and their position in its values.
struct LocalRows {
  const Parameter* parameter = nullptr;
  Index first_row = 0, rows = 0, at = 0;
  Index row_elements() const { return parameter->shape.product(1, parameter->shape.rank()); }
  bool whole() const { return rows == parameter->shape[0]; }
};

// A range that an update treats alike: where it lies among all elements, and in the values here.
struct Segment {
  Range all{};
  Index at = 0;
  bool weight_decay = false, ternary = false;
};

// Of one ternary matrix at the last quantisation that counted.
struct TernaryStats {
  std::string name{};  // of its layer: "model.layers.3.attn.f_proj"
  Index elements = 0;
  double zero_share = 0;  // of all codes
  double flip_rate = 0;   // codes that differ from the previous step's
  double scale = 0;       // 1 / mean |w|
};

struct PackOptions {
  DType dtype = DType::f32;          // of values: f32 or f64
  std::optional<DType> gradients{};  // as the values, or bf16 beside f32
  std::optional<DType> table{};      // of all rows of parameters whose rows ranks share
  // bf16: dense matrices that products multiply by (Parameter::working_copy) are rounded once after
  // each update, not in each product
  std::optional<DType> working{};
  Shard shard{};  // of the ownership
};

class ParameterPack {
 public:
  // Binds every parameter to a value, a gradient and, if it has one, its copy, for as long as the
  // pack lives. The parameters must outlive it and not move. Values are zero until they are set.
  ParameterPack(Backend& backend, std::vector<Parameter*> parameters,
                const PackOptions& options = {});
  ~ParameterPack();
  ParameterPack(const ParameterPack&) = delete;
  ParameterPack& operator=(const ParameterPack&) = delete;

  std::span<Parameter* const> parameters() const { return parameters_; }  // in flat order
  const Tensor& values() const { return values_; }                        // (held) here; alone: (P)
  const Tensor& gradients() const { return gradients_; }                  // (P)
  Index ternary_elements() const { return ternary_elements_; }  // the first of all are ternary
  Shard shard() const { return shard_; }

  std::span<const LocalRows> local_rows() const { return local_rows_; }  // in order of `at`
  std::span<const Segment> segments() const { return segments_; }        // they cover the values
  // What each rank owns alone, of all elements: its matrices and its rows, may be none.
  const std::vector<Range>& matrices_of_ranks() const { return matrices_of_; }
  const std::vector<Range>& rows_of_ranks() const { return rows_of_; }
  Range shared() const { return shared_; }                 // what every rank holds
  const Parameter* table() const { return row_sharded_; }  // null: none, or a rank alone

  // A buffer like values() (an optimizer's moment), seen through what is held.
  Tensor view(const Tensor& flat, const LocalRows& local) const;
  Tensor view(const Tensor& flat, const Parameter& p) const;  // of one that is held whole
  // Where a parameter lies among all elements, without and with the padding behind it.
  Range range(const Parameter& p) const;
  Range padded_range(const Parameter& p) const;

  // Sets what this rank holds to Parameter::initial, a function of (seed, name) alone, and makes
  // the copies.
  void initialize(std::uint64_t seed);
  // Makes the ternary and the working copies of what this rank holds: after every change of values
  // but an update, which makes them itself. count: zeros, and flips against the previous copies.
  void quantize(bool count = false);
  void make_working_copies();  // alone, in an update
  // Of the last quantisation that counted, here or in an update, in the order in which the
  // parameters were given; empty: there are no copies.
  std::vector<TernaryStats> ternary_stats() const;
  TernaryCopies* ternary() const { return ternary_.get(); }  // of those held; null: none
  std::size_t index_of(const Parameter& p) const;            // in parameters()
  // Of all ternary matrices: codes (ternary_elements) i8, scales (M) real, stats (M, 2) f64.
  const Tensor& codes() const { return codes_; }
  const Tensor& scales() const { return scales_; }
  const Tensor& stats() const { return stats_; }
  Range matrix_indices(int rank) const;  // of those that a rank owns, among all matrices
  std::size_t copy_bytes() const;        // of all copies and what they are made of

  void begin_step();        // forget the gradients: the next writer of each overwrites
  void finish_gradients();  // zero what no micro-batch wrote

 private:
  void lay_out();
  void lay_out_owned();
  void allocate(Backend& backend, const PackOptions& options);
  void make_ternary_copies();
  void allocate_working_copies(DType dtype);
  void add_segment(Range all, Index at, const Parameter& p);

  const std::vector<Parameter*> declared_;
  std::vector<Parameter*> parameters_;
  Shard shard_;
  std::vector<int> owners_;    // of each matrix
  std::vector<Range> ranges_;  // of each parameter, among all elements
  std::vector<LocalRows> local_rows_{};
  std::vector<Segment> segments_{};
  std::vector<Range> matrices_of_{}, rows_of_{};
  Range shared_{};
  const Parameter* row_sharded_ = nullptr;
  Tensor values_, gradients_, codes_{}, scales_{}, stats_{}, table_{};
  Tensor working_{}, working_values_{};  // copies, and what they are copies of; empty: none
  Index ternary_elements_ = 0;
  std::unique_ptr<TernaryCopies> ternary_{};
};

}  // namespace tern
