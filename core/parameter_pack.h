// All parameters of a model in one flat buffer, all gradients in another: the update, the norm and
// a checkpoint are one call each. Decayed parameters come first; each starts on a 64-element
// boundary, and the padding between them stays zero.
#pragma once

#include <span>
#include <vector>

#include "core/parameter.h"

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

  void begin_step();        // forget the gradients: the next writer of each overwrites
  void finish_gradients();  // zero what no micro-batch wrote

 private:
  std::vector<Parameter*> parameters_;
  std::vector<Index> offsets_;  // element of each parameter
  Tensor values_, gradients_;
  Index decayed_ = 0;
};

}  // namespace tern
