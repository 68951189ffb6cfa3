// The int8 product on Hopper's own tensor-core instructions. Built for sm_90a alone: call it on a
// GPU of compute capability 9.0 only.
#pragma once

#include "cuda/integer_product.cuh"

namespace tern::cuda {

// The copy engine wants rows of whole 16 bytes, y vectors of 8 elements.
template <class A>
bool hopper_product_fits(const IntegerProduct<A>& p) {
  return p.I > 0 && p.I % 16 == 0 && p.O % 8 == 0 && aligned<16>(p.q) && aligned<16>(p.t) &&
         aligned<16>(p.y);
}

// The bits of ternary_product_plain.
template <class A>
void ternary_product_hopper(const IntegerProduct<A>& product, int multiprocessors,
                            cudaStream_t stream);

}  // namespace tern::cuda
