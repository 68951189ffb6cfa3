// What an op's backward is given: gradients of its outputs, and where those of its inputs go.
// A product may want the gradient of its output in 8-bit floats too (core/kernels/product.h). The
// op that writes that gradient can make them on the way. They live in the gradient's buffer, and
// whoever else claims any of it drops them: what has been added to has none.
#pragma once

#include <span>

#include "core/parameter.h"

namespace tern {

// One gradient for each output, in record()'s order.
class Upstream {
 public:
  struct Gradient {
    Tensor value{};  // empty: nobody used that output
    Fp8Rows fp8{};   // the same in 8-bit floats; empty: not wanted, or not made
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
    Grad grad{};                // empty: no gradient wanted
    GradBuffer* fp8 = nullptr;  // of which all is written here; null: not wanted in 8-bit floats
    bool narrow = false;        // grad is bf16, the input is not
    Tensor wide{};              // f32: what is to be rounded and added to a narrow grad
  };
  Grads(std::span<Destination> to) : to_(to) {}
  std::size_t size() const { return to_.size(); }
  // Where gradient i goes, in the type of the input.
  Grad operator[](std::size_t i) const;
  // The same as it is stored (core/kernels.h): for kernels that write bf16 beside f32, which saves
  // a pass.
  const Grad& stored(std::size_t i) const { return to_[i].grad; }
  // Where gradient i goes in 8-bit floats too; empty if it need not. Whoever asks must write them.
  Fp8Rows fp8(std::size_t i) const;

 private:
  std::span<Destination> to_;
};

}  // namespace tern
