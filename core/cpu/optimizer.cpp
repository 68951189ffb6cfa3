#include <cmath>

#include "core/cpu/cpu_backend.h"
#include "core/cpu/rows.h"

namespace tern {

using namespace cpu;

void CpuBackend::run(const SquaredNorm& a) {
  visit_real(a.g.dtype(), [&]<class R>() {
    constexpr Index size = 1 << 16;
    const Index P = a.g.elements();
    const R* g = a.g.data<R>();
    std::vector<double> partial((P + size - 1) / size, 0.0);
    for_chunks(P, size, [&](Index c, Index begin, Index end) {
      partial[c] = sum_of_squares(g + begin, end - begin);
    });
    double sum = 0;
    for (const double p : partial) sum += p;
    a.scalars.data<double>()[StepScalars::norm_squared] = sum;
  });
}

void CpuBackend::run(const DecideUpdate& a) {
  double* s = a.scalars.data<double>();
  const double norm = std::sqrt(s[StepScalars::norm_squared]), clip = s[StepScalars::clip];
  const bool applied = std::isfinite(norm) && std::isfinite(s[StepScalars::loss]);
  s[StepScalars::applied] = applied;
  s[StepScalars::coefficient] = clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1.0;
  s[StepScalars::adam_steps] += applied;
}

void CpuBackend::run(const AdamW& a) {
  const double* s = a.scalars.data<double>();
  if (!s[StepScalars::applied]) return;
  visit_real(a.w.dtype(), [&]<class R>() {
    R *w = a.w.data<R>(), *m = a.m.data<R>(), *v = a.v.data<R>();
    const R* g = a.g.data<R>();
    const double steps = s[StepScalars::adam_steps], rate = s[StepScalars::learning_rate];
    const R coefficient = R(s[StepScalars::coefficient]), b1 = R(a.beta1), b2 = R(a.beta2);
    const R keep = a.decays ? R(1 - rate * s[StepScalars::weight_decay]) : R(1);
    const R step = R(rate / (1 - std::pow(a.beta1, steps)));
    const R correction = R(1 / std::sqrt(1 - std::pow(a.beta2, steps))), eps = R(a.eps);
    const R one_less_b1 = R(1 - a.beta1), one_less_b2 = R(1 - a.beta2);
    for_chunks(a.w.elements(), 1 << 14, [&](Index, Index begin, Index end) {
#pragma omp simd
      for (Index i = begin; i < end; ++i) {
        const R gi = coefficient * g[i];
        m[i] = b1 * m[i] + one_less_b1 * gi;
        v[i] = b2 * v[i] + one_less_b2 * gi * gi;
        w[i] = keep * w[i] - step * m[i] / (std::sqrt(v[i]) * correction + eps);
      }
    });
  });
}

}  // namespace tern
