// The update. The host sets the rate and reads nothing: what depends on the norm stays here.
#include "core/bfloat16.h"
#include "cuda/backend/cuda_backend.h"
#include "cuda/update/piece_sum.cuh"

namespace tern {

using namespace cuda;

namespace {

// A block owns one piece of g, a thread four elements of each of its rows. Reads 4 bytes an
// element, 2 of bf16, which bounds it if enough are on their way; f64, the squares are exact.
// Reproducible, and exactly the CPU's sums.
template <class G>
__global__ void __launch_bounds__(kSumThreads)
    squares_of_pieces(double* partial, const G* g, Index count) {
  __shared__ double shared[kSumWarps];
  const Index begin = Index(blockIdx.x) * kNormPiece, left = count - begin;
  double columns[4] = {};
  constexpr int kFlight = 32 / sizeof(G);  // 128 bytes a thread
  add_to_columns<kFlight>(columns, g + begin, left < kNormPiece ? left : kNormPiece, true,
                          Square{});
  const double sum = add_columns(columns, shared);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One block adds the pieces: bound by latency. f64. Reproducible, and exactly the CPU's sum.
__global__ void __launch_bounds__(kSumThreads)
    add_pieces(double* scalars, const double* partial, Index pieces) {
  __shared__ double shared[kSumWarps];
  double columns[4] = {};
  add_to_columns<8>(columns, partial, pieces, true, Identity{});
  const double sum = add_columns(columns, shared);
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

  __device__ void set(const double* s, double beta1, double beta2, double epsilon,
                      bool weight_decay) {
    const double steps = s[StepScalars::adam_steps], rate = s[StepScalars::learning_rate];
    coefficient = float(s[StepScalars::coefficient]);
    b1 = float(beta1), b2 = float(beta2), eps = float(epsilon);
    one_less_b1 = float(1 - beta1), one_less_b2 = float(1 - beta2);
    keep = weight_decay ? float(1 - rate * s[StepScalars::weight_decay]) : 1.0f;
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

// M: of both moments, G: of the gradient
template <class M, class G>
struct Update {
  explicit Update(const AdamW& a)
      : w(a.w.data<float>()),
        g(a.g.data<G>()),
        m(a.m.data<M>()),
        v(a.v.data<M>()),
        magnitudes(data_or_null<double>(a.magnitudes)),
        scalars(a.scalars.data<double>()),
        beta1(a.beta1),
        beta2(a.beta2),
        eps(a.eps),
        weight_decay(a.weight_decay),
        count(a.w.elements()),
        first(a.first),
        seed(a.seed) {}
  float* w;
  const G* g;
  M *m, *v;
  double* magnitudes;
  const double* scalars;
  double beta1, beta2, eps;
  bool weight_decay;
  Index count, first;
  std::uint64_t seed;
};

// The moments of elements [i, i + 4), to memory.
template <class G>
__device__ inline void store_moments(const Update<float, G>& a, Index i, const float (&m)[4],
                                     const float (&v)[4], std::uint64_t) {
  store(a.m + i, m), store(a.v + i, v);
}
template <class G>
__device__ inline void store_moments(const Update<bf16, G>& a, Index i, const float (&m)[4],
                                     const float (&v)[4], std::uint64_t adam_step) {
  const auto words = moment_words(a.seed, adam_step, std::uint64_t((a.first + i) / 4));
  Packed<std::uint16_t, 4> new_m, new_v;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    new_m.at[k] = round_stochastically(__float_as_uint(m[k]), words[k] & 0xffff);
    new_v.at[k] = round_stochastically(__float_as_uint(v[k]), words[k] >> 16);
  }
  *reinterpret_cast<Packed<std::uint16_t, 4>*>(a.m + i) = new_m;
  *reinterpret_cast<Packed<std::uint16_t, 4>*>(a.v + i) = new_v;
}

// A block owns pieces in turn, a thread four elements of each of a piece's rows. Reads 16 and
// writes 12 bytes an element, 12 and 8 with bf16 moments, 2 less to read with bf16 gradients, which
// bounds it. f32; sums of |w| in f64. Reproducible, and the sums are exactly those of
// SumMagnitudes.
template <class M, class G>
__global__ void __launch_bounds__(kSumThreads) adamw(const Update<M, G> a) {
  if (a.scalars[StepScalars::applied] == 0) return;
  __shared__ AdamStep now;
  __shared__ double shared[2][kSumWarps];
  if (threadIdx.x == 0) now.set(a.scalars, a.beta1, a.beta2, a.eps, a.weight_decay);
  __syncthreads();
  const auto adam_step = std::uint64_t(a.scalars[StepScalars::adam_steps]);
  int turn = 0;
  for (Index piece = blockIdx.x; piece * kSumPiece < a.count; piece += gridDim.x) {
    double columns[4] = {};
    const Index begin = piece * kSumPiece + 4 * threadIdx.x;
    for (Index i = begin; i < begin + kSumPiece && i < a.count; i += kSumColumns) {
      float w[4], m[4], v[4], g[4];
      load(w, a.w + i), load(m, a.m + i), load(v, a.v + i), load(g, a.g + i);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        now.update(w[k], m[k], v[k], g[k]);
        columns[k] += fabs(double(w[k]));
      }
      store(a.w + i, w);
      store_moments(a, i, m, v, adam_step);
    }
    if (!a.magnitudes) continue;
    const double sum = add_columns(columns, shared[turn]);
    turn ^= 1;  // a warp may still be reading
    if (threadIdx.x == 0) a.magnitudes[piece] = sum;
  }
}

template <class M, class G>
void update(const AdamW& a, int multiprocessors, cudaStream_t stream) {
  const Update<M, G> task(a);
  check(task.count % 4 == 0 && a.first % 4 == 0 && aligned<16>(task.w) &&
            aligned<4 * sizeof(G)>(task.g) && aligned<4 * sizeof(M)>(task.m) &&
            aligned<4 * sizeof(M)>(task.v),
        "[adamw] expected whole vectors of four elements, got ", a.w, " from ", a.first, " on");
  // Every block finds the step's constants; so many blocks leave none idle for long at the end.
  const int blocks = int(std::min<Index>(blocks_for(task.count, kSumPiece), 64 * multiprocessors));
  adamw<<<blocks, kSumThreads, 0, stream>>>(task);
  launched("[adamw]");
}

}  // namespace

void CudaBackend::run(const SquaredNorm& a) {
  const Tensor partial = workspace(a);
  auto* sums = static_cast<double*>(partial.raw());
  const int pieces = blocks_for(a.g.elements(), kNormPiece);
  visit_real(a.g.dtype(), [&]<class G>() {
    const G* g = a.g.data<G>();
    check(aligned<4 * sizeof(G)>(g), "[squared_norm] g: expected an address of whole vectors");
    squares_of_pieces<<<pieces, kSumThreads, 0, stream_>>>(sums, g, a.g.elements());
  });
  launched("[squared_norm] pieces");
  add_pieces<<<1, kSumThreads, 0, stream_>>>(a.scalars.data<double>(), sums, pieces);
  launched("[squared_norm]");
}

void CudaBackend::run(const DecideUpdate& a) {
  decide<<<1, 1, 0, stream_>>>(a.scalars.data<double>());
  launched("[decide_update]");
}

void CudaBackend::run(const AdamW& a) {
  if (a.w.elements() == 0) return;
  visit_real(a.m.dtype(), [&]<class M>() {
    visit_real(a.g.dtype(), [&]<class G>() { update<M, G>(a, traits_.multiprocessors, stream_); });
  });
}

}  // namespace tern
