// What the fused quantisers and their gradients compute of a row in registers.
#pragma once

#include "cuda/rows/row_layout.cuh"

namespace tern::cuda {

// 1 / sqrt(mean + eps), to 2 ulp
__device__ inline float inverse_rms(float sum_of_squares, float inverse_D, float eps) {
  return rsqrtf(sum_of_squares * inverse_D + eps);
}

// e, a consumer's weight, becomes u * weight; returns this thread's largest |e|
template <class L>
__device__ inline float weigh(typename L::Row& e, const typename L::Row& u) {
  float top = 0;
  each<L>([&](int i, int v) {
    e[i][v] *= u[i][v];
    top = larger(top, fabsf(e[i][v]));
  });
  return top;
}

// A row p with rstd r leaves the norm as p * r * weight; z is the gradient of p * r. The gradient
// of p is r * (z - p * mean), mean = r^2 * sum(z p) / D.
//
// If p itself is x * g, x = s * outer a normalised row, the gradient of s needs the sum of dp * p
// as well: r * (sum(z p) - mean * sum(p^2)), from sums that are at hand before dp is. So one
// reduction serves both norms.
struct NormMeans {
  // sums: of z * p, of p * p
  __device__ NormMeans(const float (&sums)[2], float outer, float r, float inverse_D)
      : inner_mean(sums[0] * inverse_D * r * r),
        outer_mean(r * (sums[0] - inner_mean * sums[1]) * inverse_D * outer) {}
  float inner_mean;  // dp = r * (z - p * inner_mean)
  float outer_mean;  // ds = outer * dx - x * outer_mean, dx = dp * g
};

// 1 / (1 + exp(-x)), to |x| + 4 ulp, in four instructions: these kernels run out of them before
// they run out of memory's bandwidth. Where the reciprocal flushes to zero, below x = -87, so do
// its products.
__device__ inline float gate(float x) {
  float power, y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x * -1.44269504f));
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(1.0f + power));
  return y;
}
// the derivative of silu(x) = x * gate(x)
__device__ inline float silu_slope(float silu, float gate) {
  return gate + silu * (1.0f - gate);
}

}  // namespace tern::cuda
