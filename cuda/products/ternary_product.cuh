// The ternary product on the GPU: its arguments, and what becomes of an exact integer sum. Every
// kernel that computes it goes through RowFactor, so they agree bit for bit.
#pragma once

#include "cuda/common/device.cuh"

namespace tern::cuda {

// y (N, O) = (q (N, I) . t (O, I)) / (row_scale (N) * scale (1)); A is float or bf16.
template <class A>
struct IntegerProduct {
  A* y;
  const std::int8_t* q;
  const float* row_scale;
  const std::int8_t* t;
  const float* scale;
  int N, O, I;
};

// f32: a true division, the bits of the CPU. bf16: a product with the reciprocal.
template <class A>
class RowFactor {
 public:
  RowFactor() = default;
  __device__ RowFactor(float row_scale, float scale) {
    const float factor = __fmul_rn(row_scale, scale);
    factor_ = std::is_same_v<A, float> ? factor : __fdiv_rn(1.0f, factor);
  }
  __device__ float operator()(float sum) const {
    return std::is_same_v<A, float> ? __fdiv_rn(sum, factor_) : __fmul_rn(sum, factor_);
  }

 private:
  float factor_;
};

// For any GPU and any size. The integer sums are exact, so y has the bits of every other kernel for
// this product.
template <class A>
void ternary_product_plain(const IntegerProduct<A>& product, cudaStream_t stream);

// Hopper's tensor-core instructions, built for sm_90a alone: only for GPUs of compute capability
// 9.0. The copy engine needs rows of whole 16 bytes, y vectors of 8 elements; sums stay below 2^22.
template <class A>
bool hopper_product_fits(const IntegerProduct<A>& p) {
  return p.I > 0 && p.I <= 32768 && p.I % 16 == 0 && p.O % 8 == 0 && aligned<16>(p.q) &&
         aligned<16>(p.t) && aligned<16>(p.y);
}

// The bits of ternary_product_plain. cluster: 1 or 2 blocks load columns of t for one another.
template <class A>
void ternary_product_hopper(const IntegerProduct<A>& product, int multiprocessors,
                            cudaStream_t stream, int cluster = 2);

// The bits of ternary_product_plain, for few rows of q: t are tiles of DType::t2, read once for 32
// rows and unpacked in registers. I: a multiple of 64; q aligned to 16 bytes.
template <class A>
void ternary_product_tiles(const IntegerProduct<A>& product, cudaStream_t stream);

}  // namespace tern::cuda
