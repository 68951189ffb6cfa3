#include "core/cpu/cpu_backend.h"
#include "core/cpu/functions.h"
#include "core/cpu/parallel.h"

namespace tern {

using namespace cpu;

namespace {

constexpr Index kBand = 64;  // channels that one chunk walks through time together

// Gate, candidate and their slopes of one row of channels, from the values before their functions.
template <class R>
struct Gates {
  void forward(const R* f_in, const R* c_in, const R* bound, Index n) {
    sigmoid_row(sigma_f, f_in, n);
    sigmoid_row(sigma_c, c_in, n);
    for (Index i = 0; i < n; ++i) {
      f[i] = bound ? bound[i] + (1 - bound[i]) * sigma_f[i] : sigma_f[i];
      c[i] = c_in[i] * sigma_c[i];
    }
  }
  R sigma_f[kBand], sigma_c[kBand], f[kBand], c[kBand];
};

}  // namespace

void CpuBackend::run(const Mlgru& a) {
  visit_real(a.h.dtype(), [&]<class R>() {
    const Index B = a.h.shape()[0], T = a.h.shape()[1], D = a.h.shape()[2];
    R *h = a.h.data<R>(), *last = data_or_null<R>(a.last);
    const R *f_in = a.f_in.data<R>(), *c_in = a.c_in.data<R>(), *bound = data_or_null<R>(a.bound),
            *initial = data_or_null<R>(a.initial);
    const Index bands = (D + kBand - 1) / kBand;
    for_tasks(B * bands, T * kBand, [&](Index work) {
      const Index b = work / bands, d = work % bands * kBand, n = std::min(kBand, D - d);
      Gates<R> gates;
      R state[kBand] = {};
      if (initial) std::copy_n(initial + b * D + d, n, state);
      for (Index t = 0; t < T; ++t) {
        const Index at = (b * T + t) * D + d;
        gates.forward(f_in + at, c_in + at, bound ? bound + d : nullptr, n);
        for (Index i = 0; i < n; ++i)
          h[at + i] = state[i] = gates.f[i] * state[i] + (1 - gates.f[i]) * gates.c[i];
      }
      if (last) std::copy_n(state, n, last + b * D + d);
    });
  });
}

void CpuBackend::run(const MlgruBackward& a) {
  visit_real(a.h.dtype(), [&]<class R>() {
    const Index B = a.h.shape()[0], T = a.h.shape()[1], D = a.h.shape()[2];
    const R *dh = data_or_null<R>(a.dh), *dlast = data_or_null<R>(a.dlast), *h = a.h.data<R>(),
            *f_in = a.f_in.data<R>(), *c_in = a.c_in.data<R>(), *bound = data_or_null<R>(a.bound),
            *initial = data_or_null<R>(a.initial);
    R *df_in = data_or_null<R>(a.df_in.to), *dc_in = data_or_null<R>(a.dc_in.to),
      *dinitial = data_or_null<R>(a.dinitial.to);
    std::vector<R> dbound(a.dbound ? B * D : 0, R(0));
    const Index bands = (D + kBand - 1) / kBand;
    for_tasks(B * bands, T * kBand, [&](Index work) {
      const Index b = work / bands, d = work % bands * kBand, n = std::min(kBand, D - d);
      Gates<R> gates;
      R g[kBand] = {}, row[kBand];  // g: gradient arriving from the future
      if (dlast) std::copy_n(dlast + b * D + d, n, g);
      for (Index t = T; t-- > 0;) {
        const Index at = (b * T + t) * D + d;
        gates.forward(f_in + at, c_in + at, bound ? bound + d : nullptr, n);
        const R* before = t ? h + at - D : initial ? initial + b * D + d : nullptr;
        if (dh)
          for (Index i = 0; i < n; ++i) g[i] += dh[at + i];
        if (a.dbound)
          for (Index i = 0; i < n; ++i)
            dbound[b * D + d + i] +=
                g[i] * ((before ? before[i] : 0) - gates.c[i]) * (1 - gates.sigma_f[i]);
        if (df_in) {
          for (Index i = 0; i < n; ++i)
            row[i] = g[i] * ((before ? before[i] : 0) - gates.c[i]) *
                     (bound ? 1 - bound[d + i] : 1) * gates.sigma_f[i] * (1 - gates.sigma_f[i]);
          put(df_in + at, a.df_in.add, n, row);
        }
        if (dc_in) {
          for (Index i = 0; i < n; ++i)
            row[i] =
                g[i] * (1 - gates.f[i]) * (gates.sigma_c[i] + gates.c[i] * (1 - gates.sigma_c[i]));
          put(dc_in + at, a.dc_in.add, n, row);
        }
        for (Index i = 0; i < n; ++i) g[i] *= gates.f[i];
      }
      if (dinitial) put(dinitial + b * D + d, a.dinitial.add, n, g);
    });
    if (!a.dbound) return;
    R* to = a.dbound.to.data<R>();
    for (Index d = 0; d < D; ++d) {
      R sum = a.dbound.add ? to[d] : 0;
      for (Index b = 0; b < B; ++b) sum += dbound[b * D + d];
      to[d] = sum;
    }
  });
}

}  // namespace tern
