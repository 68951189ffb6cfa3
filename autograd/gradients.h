// Arguments of an op's backward: gradients of its outputs, and destinations for those of its
// inputs. A product may request the gradient of its output in 8-bit floats too
// (core/kernels/product.h). The op that writes that gradient can compute them in the same pass.
// They belong to the gradient's buffer; a second claim of any part of it drops them, since a sum
// has no 8-bit form yet.
#pragma once

#include <span>

#include "core/parameter.h"

namespace tern {

// One gradient for each output, in record()'s order.
class Upstream {
 public:
  struct Gradient {
    Tensor value{};  // empty: that output was not used
    Fp8Rows fp8{};   // the same in 8-bit floats; empty: not requested, or not computed
  };
  Upstream(std::span<const Gradient> gradients) : gradients_(gradients) {}
  const Tensor& operator[](std::size_t k) const { return gradients_[k].value; }
  const Fp8Rows& fp8(std::size_t k) const { return gradients_[k].fp8; }

 private:
  std::span<const Gradient> gradients_;
};

// One destination for each input, in record()'s order.
class Grads {
 public:
  struct Destination {
    Grad grad{};                // empty: no gradient needed
    GradBuffer* fp8 = nullptr;  // written whole here; null: not needed in 8-bit floats
    bool narrow = false;        // grad is bf16, the input is not
    Tensor wide{};              // f32: what is to be rounded and added to a narrow grad
  };
  Grads(std::span<Destination> to) : to_(to) {}
  std::size_t size() const { return to_.size(); }
  // Destination of gradient i, in the type of the input.
  Grad operator[](std::size_t i) const;
  // The same as it is stored (core/kernels.h): for kernels that write either dtype, which saves
  // a pass.
  const Grad& stored(std::size_t i) const { return to_[i].grad; }
  // Destination of gradient i in 8-bit floats; empty if not needed. A caller of this must write it.
  Fp8Rows fp8(std::size_t i) const;

 private:
  std::span<Destination> to_;
};

}  // namespace tern
