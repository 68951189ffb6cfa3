// All parameters of a model in one flat buffer, all gradients in another: the update, the norm and
// a checkpoint are one call each. Decayed parameters come first, each at the start of a piece that
// sums are taken in (kSumPiece elements); the others start at multiples of 64. The padding between
// them stays zero.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/parameter.h"
#include "core/ternary_copies.h"

namespace tern {

class ParameterPack {
 public:
  // Gives every parameter a value and, if gradients, a gradient of this real dtype. The parameters
  // must outlive the pack and not move. Values are zero until somebody sets them.
  ParameterPack(Backend& backend, std::vector<Parameter*> parameters, DType dtype, bool gradients);

  std::span<Parameter* const> parameters() const { return parameters_; }  // in flat order
  const Tensor& values() const { return values_; }                        // (P)
  const Tensor& gradients() const { return gradients_; }                  // (P) or nothing
  Index decayed() const { return decayed_; }  // elements [0, decayed) take part in weight decay

  // A buffer with the layout of the pack (an optimizer's moment), seen through one parameter.
  Tensor view(const Tensor& flat, const Parameter& p) const;

  // Gives every decayed matrix a ternary copy, which updates then keep current. Whoever else
  // changes values calls sum_magnitudes() and quantize() on the copies.
  void make_ternary_copies();
  TernaryCopies* ternary() const { return ternary_.get(); }  // null: there are none
  TernaryWeight ternary(const Parameter& p) const;           // that of one matrix

  void begin_step();        // forget the gradients: the next writer of each overwrites
  void finish_gradients();  // zero what no micro-batch wrote

 private:
  std::size_t place_of(const Parameter& p) const;

  std::vector<Parameter*> parameters_;
  std::vector<Index> offsets_;  // element of each parameter
  Tensor values_, gradients_;
  Index decayed_ = 0;
  std::unique_ptr<TernaryCopies> ternary_{};
};

}  // namespace tern
