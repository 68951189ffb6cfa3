// Residual add, block norm, and up to three layer norms with their quantisers, in one pass.

#include "core/cpu/cpu_backend.h"
#include "core/cpu/e4m3.h"
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
        const R rms = root_mean_square(x + n * D, D, a.eps);
        normalize(y + n * D, x + n * D, rms, w, D);
        rstd[n] = 1 / rms;
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

void CpuBackend::run(const NormQuantize& a) {
  visit_real(a.x.dtype(), [&]<class R>() {
    const Index D = a.x.shape().last(), N = a.x.elements() / D;
    const R *x = a.x.data<R>(), *branch = data_or_null<R>(a.branch),
            *block = data_or_null<R>(a.block_weight);
    R *sum = data_or_null<R>(a.sum), *rstd = a.rstd.data<R>();
    std::array<RowWriter<R>, 3> rows;
    for (std::size_t k = 0; k < a.rows.size(); ++k) rows[k] = RowWriter<R>(a.rows[k]);
    for_chunks(N, 16, [&](Index, Index begin, Index end) {
      R *u = scratch<R, 0>(D), *normalized = scratch<R, 1>(D);
      for (Index n = begin; n < end; ++n) {
        const R* s = x + n * D;
        if (sum) {
          for (Index i = 0; i < D; ++i) sum[n * D + i] = s[i] + branch[n * D + i];
          s = sum + n * D;
        }
        const R rms = root_mean_square(s, D, a.eps);
        R second = rms;
        if (block) {
          normalize(u, s, rms, block, D);
          second = root_mean_square(u, D, a.eps);
        }
        for (std::size_t k = 0; k < a.rows.size(); ++k)
          rows[k].write(n, block ? u : s, second, normalized, D);
        rstd[2 * n] = 1 / rms, rstd[2 * n + 1] = 1 / second;
      }
    });
  });
}

void CpuBackend::run(const NormQuantizeBackward& a) {
  visit_real(a.sum.dtype(), [&]<class R>() {
    const Index D = a.sum.shape().last(), N = a.sum.elements() / D;
    const R *sum = a.sum.data<R>(), *rstd = a.rstd.data<R>(),
            *block = data_or_null<R>(a.block_weight), *dsum = data_or_null<R>(a.dsum);
    R *dx = data_or_null<R>(a.dx.to), *dbranch = data_or_null<R>(a.dbranch.to);
    const Fp8Writer<R> dbranch_fp8("[norm_quantize]", a.dbranch, a.dbranch_fp8);
    std::array<RowGradReader<R>, 3> rows;
    for (std::size_t k = 0; k < a.rows.size(); ++k) rows[k] = RowGradReader<R>(a.rows[k], N, D);
    std::vector<R> dblock = partials_for<R>(a.dblock_weight, N, D);
    for_chunks(N, reduction_chunk(N), [&](Index c, Index begin, Index end) {
      R *u = scratch<R, 0>(D), *z = scratch<R, 1>(D), *du = scratch<R, 2>(D);
      for (Index n = begin; n < end; ++n) {
        const R *s = sum + n * D, r = rstd[2 * n];
        if (block)
          for (Index i = 0; i < D; ++i) u[i] = s[i] * r * block[i];
        std::fill_n(z, D, R(0));
        for (std::size_t k = 0; k < a.rows.size(); ++k)
          rows[k].read(c, n, block ? u : s, rstd[2 * n + 1], z, D);
        normalize_backward(du, z, block ? u : s, rstd[2 * n + 1], D);
        if (block) {
          if (a.dblock_weight)
            for (Index i = 0; i < D; ++i) dblock[c * D + i] += du[i] * s[i] * r;
          for (Index i = 0; i < D; ++i) z[i] = du[i] * block[i];
          normalize_backward(du, z, s, r, D);
        }
        if (dsum)
          for (Index i = 0; i < D; ++i) du[i] += dsum[n * D + i];
        if (dx) put(dx + n * D, a.dx.add, D, du);
        if (dbranch) put(dbranch + n * D, a.dbranch.add, D, du);
        dbranch_fp8.write(n, du, D);
      }
    });
    for (std::size_t k = 0; k < a.rows.size(); ++k) rows[k].finish(a.rows[k].dweight, D);
    if (a.dblock_weight) reduce_partials(a.dblock_weight, dblock, D);
  });
}

}  // namespace tern
