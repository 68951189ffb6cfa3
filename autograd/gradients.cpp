#include "autograd/gradients.h"

namespace tern {

Grad Grads::operator[](std::size_t i) const {
  Destination& d = to_[i];
  if (!d.narrow) return d.grad;
  if (!d.wide) d.wide = Tensor(d.grad.to.backend(), d.grad.to.shape(), DType::f32);
  return {.to = d.wide};
}

Fp8Rows Grads::fp8(std::size_t i) const {
  const Grad& grad = to_[i].grad;
  GradBuffer* const buffer = to_[i].fp8;
  if (!buffer) return {};
  const Index N = grad.to.shape()[0];
  Backend& on = grad.to.backend();
  buffer->fp8 = {.codes = Tensor(on, grad.to.shape(), DType::e4m3),
                 .factors = Tensor(on, {N}, accumulator(grad.to.dtype()))};
  return buffer->fp8;
}

}  // namespace tern
