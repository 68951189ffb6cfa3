#include "core/cpu/cpu_backend.h"
#include "core/cpu/rows.h"

namespace tern {

using namespace cpu;

void CpuBackend::run(const QuantizeRows& a) {
  visit_real(a.x.dtype(), [&]<class R>() {
    const Index D = a.x.shape().last(), N = a.x.elements() / D;
    std::int8_t* q = a.y.q.data<std::int8_t>();
    R* scale = a.y.row_scale.data<R>();
    const R* x = a.x.data<R>();
    for_chunks(N, 16, [&](Index, Index begin, Index end) {
      for (Index n = begin; n < end; ++n) scale[n] = quantize_row(q + n * D, x + n * D, D);
    });
  });
}

void CpuBackend::run(const Dequantize& a) {
  visit_real(a.x.dtype(), [&]<class R>() {
    const Index D = a.x.shape().last(), N = a.x.elements() / D;
    const std::int8_t* q = a.y.q.data<std::int8_t>();
    const R* scale = a.y.row_scale.data<R>();
    R* x = a.x.data<R>();
    for_chunks(N, 16, [&](Index, Index begin, Index end) {
      for (Index n = begin; n < end; ++n)
        for (Index i = 0; i < D; ++i) x[n * D + i] = R(q[n * D + i]) / scale[n];
    });
  });
}

namespace {

// mean |w| in f64 by fixed chunks: one scale on every thread count
template <class R>
double mean_absolute(const R* w, Index n) {
  constexpr Index size = 1 << 14;
  std::vector<double> partial((n + size - 1) / size, 0.0);
  for_chunks(n, size, [&](Index c, Index begin, Index end) {
    partial[c] = sum_of_magnitudes(w + begin, end - begin);
  });
  double sum = 0;
  for (const double p : partial) sum += p;
  return sum / double(n);
}

}  // namespace

void CpuBackend::run(const QuantizeTernary& a) {
  visit_real(a.w.dtype(), [&]<class R>() {
    const Index n = a.w.elements();
    const R* w = a.w.data<R>();
    std::int8_t* t = a.y.t.data<std::int8_t>();
    const double mean = mean_absolute(w, n);
    const bool finite = std::isfinite(mean);
    const R scale = R(1) / std::max(R(mean), R(1e-5));
    *a.y.scale.data<R>() = finite ? scale : std::numeric_limits<R>::quiet_NaN();
    std::vector<double> zeros((n + 4095) / 4096, 0.0), flips = zeros;
    for_chunks(n, 4096, [&](Index c, Index begin, Index end) {
      std::int8_t codes[4096] = {};
      if (finite) round_row(codes, w + begin, scale, R(-1), R(1), end - begin);
      Index zero = 0, flipped = 0;
      for (Index i = 0; a.stats && i < end - begin; ++i) {
        zero += codes[i] == 0;
        flipped += codes[i] != t[begin + i];
      }
      zeros[c] = double(zero);
      flips[c] = double(flipped);
      std::copy_n(codes, end - begin, t + begin);
    });
    if (!a.stats) return;
    double* stats = a.stats.data<double>();
    stats[0] = stats[1] = 0;
    for (const double z : zeros) stats[0] += z;
    for (const double f : flips) stats[1] += f;
  });
}

}  // namespace tern
