// The update. The host sets the rate and reads nothing: what depends on the norm stays here.
#include "cuda/cuda_backend.h"
#include "cuda/device.cuh"

namespace tern {

using namespace cuda;

namespace {

constexpr int kThreads = 256;

// Adds the block's values in a tree; thread 0 has the sum.
__device__ double add_threads(double x) {
  __shared__ double partial[kThreads];
  partial[threadIdx.x] = x;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (int(threadIdx.x) < half) partial[threadIdx.x] += partial[threadIdx.x + half];
  }
  return partial[0];
}

// A block owns one piece of g. Reads 4 bytes an element, which bounds it; sums in f64.
__global__ void __launch_bounds__(kThreads)
    squares_of_pieces(double* partial, const float* g, Index count) {
  const Index begin = Index(blockIdx.x) * kNormPiece;
  const Index end = begin + kNormPiece < count ? begin + kNormPiece : count;
  double sum = 0;
  for (Index i = begin + 4 * threadIdx.x; i < end; i += 4 * kThreads) {
    float x[4] = {};
    if (i + 4 <= end)
      load(x, g + i);
    else
      for (Index k = i; k < end; ++k) x[k - i] = g[k];
    for (int k = 0; k < 4; ++k) sum += double(x[k]) * double(x[k]);
  }
  sum = add_threads(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One block adds the pieces: thread t takes t, t + kThreads, ...
__global__ void __launch_bounds__(kThreads)
    add_pieces(double* scalars, const double* partial, Index pieces) {
  double sum = 0;
  for (Index i = threadIdx.x; i < pieces; i += kThreads) sum += partial[i];
  sum = add_threads(sum);
  if (threadIdx.x == 0) scalars[StepScalars::norm_squared] = sum;
}

__global__ void decide(double* s) {
  const double norm = sqrt(s[StepScalars::norm_squared]), clip = s[StepScalars::clip];
  const bool applied = isfinite(norm) && isfinite(s[StepScalars::loss]);
  s[StepScalars::applied] = applied;
  s[StepScalars::coefficient] = clip > 0 ? fmin(1.0, clip / (norm + 1e-6)) : 1.0;
  s[StepScalars::adam_steps] += applied;
}

// The step's constants, rounded to f32 as the CPU rounds them.
struct AdamStep {
  float coefficient, b1, b2, one_less_b1, one_less_b2, keep, step, correction, eps;

  __device__ void set(const double* s, double beta1, double beta2, double epsilon, bool decays) {
    const double steps = s[StepScalars::adam_steps], rate = s[StepScalars::learning_rate];
    coefficient = float(s[StepScalars::coefficient]);
    b1 = float(beta1), b2 = float(beta2), eps = float(epsilon);
    one_less_b1 = float(1 - beta1), one_less_b2 = float(1 - beta2);
    keep = decays ? float(1 - rate * s[StepScalars::weight_decay]) : 1.0f;
    step = float(rate / (1 - pow(beta1, steps)));
    correction = float(1 / sqrt(1 - pow(beta2, steps)));
  }
  __device__ void update(float& w, float& m, float& v, float g) const {
    g *= coefficient;
    m = b1 * m + one_less_b1 * g;
    v = b2 * v + one_less_b2 * g * g;
    w = keep * w - step * m / (sqrtf(v) * correction + eps);
  }
};

// Thread t owns four elements at a time. Reads 16 and writes 12 bytes an element, which bounds it.
template <int V>
__global__ void __launch_bounds__(kThreads)
    adamw(float* w, float* m, float* v, const float* g, const double* scalars, double beta1,
          double beta2, double eps, bool decays, Index count) {
  if (scalars[StepScalars::applied] == 0) return;
  __shared__ AdamStep now;
  if (threadIdx.x == 0) now.set(scalars, beta1, beta2, eps, decays);
  __syncthreads();
  const Index stride = Index(gridDim.x) * kThreads * V;
  for (Index i = (Index(blockIdx.x) * kThreads + threadIdx.x) * V; i < count; i += stride) {
    float wi[V], mi[V], vi[V], gi[V];
    load(wi, w + i), load(mi, m + i), load(vi, v + i), load(gi, g + i);
    for (int k = 0; k < V; ++k) now.update(wi[k], mi[k], vi[k], gi[k]);
    store(w + i, wi), store(m + i, mi), store(v + i, vi);
  }
}

bool in_fours(std::initializer_list<const float*> pointers, Index count) {
  bool aligned = count % 4 == 0;
  for (const float* p : pointers) aligned = aligned && std::uintptr_t(p) % 16 == 0;
  return aligned;
}

}  // namespace

void CudaBackend::run(const SquaredNorm& a) {
  const float* g = a.g.data<float>();
  check(std::uintptr_t(g) % 16 == 0, "[squared_norm] g: expected an address of whole vectors");
  const Tensor partial = workspace(a);
  auto* sums = static_cast<double*>(partial.raw());
  const int pieces = blocks_for(a.g.elements(), kNormPiece);
  squares_of_pieces<<<pieces, kThreads, 0, stream_>>>(sums, g, a.g.elements());
  launched("[squared_norm] pieces");
  add_pieces<<<1, kThreads, 0, stream_>>>(a.scalars.data<double>(), sums, pieces);
  launched("[squared_norm]");
}

void CudaBackend::run(const DecideUpdate& a) {
  decide<<<1, 1, 0, stream_>>>(a.scalars.data<double>());
  launched("[decide_update]");
}

void CudaBackend::run(const AdamW& a) {
  float *w = a.w.data<float>(), *m = a.m.data<float>(), *v = a.v.data<float>();
  const float* g = a.g.data<float>();
  const Index count = a.w.elements();
  if (count == 0) return;
  const bool fours = in_fours({w, m, v, g}, count);
  const Index per_block = kThreads * (fours ? 4 : 1);
  const int blocks =
      int(std::min<Index>(blocks_for(count, per_block), 16 * traits_.multiprocessors));
  const auto kernel = fours ? adamw<4> : adamw<1>;
  kernel<<<blocks, kThreads, 0, stream_>>>(w, m, v, g, a.scalars.data<double>(), a.beta1, a.beta2,
                                           a.eps, a.decays, count);
  launched("[adamw]");
}

}  // namespace tern
