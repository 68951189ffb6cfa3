#include "autograd/gradients.h"

namespace tern {

Fp8Rows Grads::fp8(std::size_t i) const {
  const auto& [grad, buffer] = to_[i];
  if (!buffer) return {};
  const Index N = grad.to.shape()[0];
  Backend& on = grad.to.backend();
  buffer->fp8 = {.codes = Tensor(on, grad.to.shape(), DType::e4m3),
                 .factors = Tensor(on, {N}, accumulator(grad.to.dtype()))};
  return buffer->fp8;
}

}  // namespace tern
