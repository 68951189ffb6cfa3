
#include "core/bfloat16.h"
#include "core/cpu/cpu_backend.h"
#include "core/cpu/parallel.h"
#include "core/cpu/rows.h"

namespace tern {

using namespace cpu;

void CpuBackend::run(const SquaredNorm& a) {
  std::vector<double> partial(std::size_t(sum_pieces(a.g.elements(), kNormPiece)), 0.0);
  visit_real(accumulator(a.g.dtype()), [&]<class R>() {
    visit_stored<R>(a.g, [&](const auto* g) {
      for_chunks(a.g.elements(), kNormPiece, [&](Index c, Index begin, Index end) {
        partial[c] = sum_of_squares(g + begin, end - begin);
      });
    });
  });
  a.scalars.data<double>()[StepScalars::norm_squared] =
      column_sum(partial.data(), Index(partial.size()));
}

void CpuBackend::run(const DecideUpdate& a) {
  double* s = a.scalars.data<double>();
  const double norm = std::sqrt(s[StepScalars::norm_squared]), clip = s[StepScalars::clip];
  const bool applied = std::isfinite(norm) && std::isfinite(s[StepScalars::loss]);
  s[StepScalars::applied] = applied;
  s[StepScalars::coefficient] = clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1.0;
  s[StepScalars::adam_steps] += applied;
}

namespace {

// The constants of a step, in the arithmetic's precision.
template <class R>
struct AdamStep {
  AdamStep(const AdamW& a, const double* s)
      : coefficient(R(s[StepScalars::coefficient])),
        b1(R(a.beta1)),
        b2(R(a.beta2)),
        one_less_b1(R(1 - a.beta1)),
        one_less_b2(R(1 - a.beta2)),
        eps(R(a.eps)) {
    const double steps = s[StepScalars::adam_steps], rate = s[StepScalars::learning_rate];
    keep = a.weight_decay ? R(1 - rate * s[StepScalars::weight_decay]) : R(1);
    step = R(rate / (1 - std::pow(a.beta1, steps)));
    correction = R(1 / std::sqrt(1 - std::pow(a.beta2, steps)));
  }
  template <class Gradient>
  void operator()(R* w, R* m, R* v, const Gradient* g, Index n) const {
#pragma omp simd
    for (Index i = 0; i < n; ++i) {
      const R gi = coefficient * to_real(g[i]);
      m[i] = b1 * m[i] + one_less_b1 * gi;
      v[i] = b2 * v[i] + one_less_b2 * gi * gi;
      w[i] = keep * w[i] - step * m[i] / (std::sqrt(v[i]) * correction + eps);
    }
  }
  R coefficient, b1, b2, one_less_b1, one_less_b2, keep, step, correction, eps;
};

// Moments that are stored as they are computed.
template <class R>
struct PlainMoments {
  explicit PlainMoments(const AdamW& a) : m(a.m.data<R>()), v(a.v.data<R>()) {}
  template <class Gradient>
  void update(const AdamStep<R>& step, R* w, const Gradient* g, Index begin, Index n) const {
    step(w, m + begin, v + begin, g, n);
  }
  R *m, *v;
};

// Moments in bf16, rounded at random by place and step.
struct HalfMoments {
  HalfMoments(const AdamW& a, const double* scalars)
      : m(a.m.data<BFloat16>()),
        v(a.v.data<BFloat16>()),
        seed(a.seed),
        step(std::uint64_t(scalars[StepScalars::adam_steps])),
        first(a.first) {}
  template <class Gradient>
  void update(const AdamStep<float>& adam, float* w, const Gradient* g, Index begin,
              Index n) const {
    float wide_m[kSumPiece], wide_v[kSumPiece];
    const auto widen = [](BFloat16 x) { return to_real(x); };
    std::transform(m + begin, m + begin + n, wide_m, widen);
    std::transform(v + begin, v + begin + n, wide_v, widen);
    adam(w, wide_m, wide_v, g, n);
    for (Index i = 0; i < n; i += 4) {
      const auto words = moment_words(seed, step, std::uint64_t((first + begin + i) / 4));
      for (Index k = i; k < std::min(i + 4, n); ++k) {
        const std::uint32_t word = words[std::size_t(k - i)];
        m[begin + k].bits =
            round_stochastically(std::bit_cast<std::uint32_t>(wide_m[k]), word & 0xffff);
        v[begin + k].bits =
            round_stochastically(std::bit_cast<std::uint32_t>(wide_v[k]), word >> 16);
      }
    }
  }
  BFloat16 *m, *v;
  std::uint64_t seed, step;
  Index first;
};

template <class R, class Moments>
void update_pieces(const AdamW& a, const AdamStep<R>& step, const Moments& moments) {
  R* w = a.w.data<R>();
  double* magnitudes = data_or_null<double>(a.magnitudes);
  visit_stored<R>(a.g, [&](const auto* g) {
    for_chunks(a.w.elements(), kSumPiece, [&](Index p, Index begin, Index end) {
      moments.update(step, w + begin, g + begin, begin, end - begin);
      if (magnitudes) magnitudes[p] = sum_of_magnitudes(w + begin, end - begin);
    });
  });
}

}  // namespace

void CpuBackend::run(const AdamW& a) {
  const double* s = a.scalars.data<double>();
  if (!s[StepScalars::applied]) return;
  if (a.m.dtype() == DType::bf16) return update_pieces(a, AdamStep<float>(a, s), HalfMoments(a, s));
  visit_real(a.w.dtype(),
             [&]<class R>() { update_pieces(a, AdamStep<R>(a, s), PlainMoments<R>(a)); });
}

}  // namespace tern
