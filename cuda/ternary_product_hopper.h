// The int8 product on Hopper's own tensor-core instructions. Built for sm_90a alone: call it on a
// GPU of compute capability 9.0 only.
#pragma once

#include "cuda/integer_product.cuh"

namespace tern::cuda {

// The copy engine needs rows of whole 16 bytes, y vectors of 8 elements; sums stay below 2^22.
template <class A>
bool hopper_product_fits(const IntegerProduct<A>& p) {
  return p.I > 0 && p.I <= 32768 && p.I % 16 == 0 && p.O % 8 == 0 && aligned<16>(p.q) &&
         aligned<16>(p.t) && aligned<16>(p.y);
}

// The bits of ternary_product_plain. cluster: 1 or 2 blocks load columns of t for one another.
template <class A>
void ternary_product_hopper(const IntegerProduct<A>& product, int multiprocessors,
                            cudaStream_t stream, int cluster = 2);

}  // namespace tern::cuda
