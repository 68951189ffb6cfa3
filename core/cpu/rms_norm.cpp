#include "core/cpu/cpu_backend.h"
#include "core/cpu/rows.h"

namespace tern {

using namespace cpu;

void CpuBackend::run(const RmsNorm& a) {
  visit_real(a.y.dtype(), [&]<class R>() {
    const Index D = a.x.shape().last(), N = a.x.elements() / D;
    R *y = a.y.data<R>(), *rstd = a.rstd.data<R>();
    const R *x = a.x.data<R>(), *w = a.w.data<R>();
    for_chunks(N, 16, [&](Index, Index begin, Index end) {
      for (Index n = begin; n < end; ++n) {
        rstd[n] = inverse_rms(x + n * D, D, a.eps);
        normalize(y + n * D, x + n * D, rstd[n], w, D);
      }
    });
  });
}

void CpuBackend::run(const RmsNormBackward& a) {
  visit_real(a.dy.dtype(), [&]<class R>() {
    const Index D = a.x.shape().last(), N = a.x.elements() / D;
    R* dx = data_or_null<R>(a.dx.to);
    const R *dy = a.dy.data<R>(), *x = a.x.data<R>(), *w = a.w.data<R>(), *rstd = a.rstd.data<R>();
    std::vector<R> dw = partials_for<R>(a.dw, N, D);
    for_chunks(N, reduction_chunk(N), [&](Index c, Index begin, Index end) {
      R *z = scratch<R, 0>(D), *row = scratch<R, 1>(D);
      for (Index n = begin; n < end; ++n) {
        if (a.dw)
          for (Index i = 0; i < D; ++i) dw[c * D + i] += dy[n * D + i] * x[n * D + i] * rstd[n];
        if (!dx) continue;
        for (Index i = 0; i < D; ++i) z[i] = dy[n * D + i] * w[i];
        normalize_backward(row, z, x + n * D, rstd[n], D);
        put(dx + n * D, a.dx.add, D, row);
      }
    });
    if (a.dw) reduce_partials(a.dw, dw, D);
  });
}

}  // namespace tern
