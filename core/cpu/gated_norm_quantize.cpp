// Output gate of the token mixer and GLU of the channel mixer, each with its norm and quantiser.
#include "core/cpu/cpu_backend.h"
#include "core/cpu/e4m3.h"
#include "core/cpu/functions.h"
#include "core/cpu/rows.h"

namespace tern {

using namespace cpu;

namespace {

// value = silu(x), slope = its derivative
template <class R>
void silu_and_slope(R* value, R* slope, const R* x, Index n) {
  sigmoid_row(slope, x, n);
  for (Index i = 0; i < n; ++i) {
    value[i] = x[i] * slope[i];
    slope[i] += value[i] * (1 - slope[i]);
  }
}

}  // namespace

void CpuBackend::run(const GatedNormQuantize& a) {
  visit_real(a.g.dtype(), [&]<class R>() {
    const Index D = a.g.shape().last(), N = a.g.elements() / D;
    const R *g = a.g.data<R>(), *h = a.h.data<R>(), *w = a.g_weight.data<R>();
    R* rstd = a.rstd.data<R>();
    const RowWriter<R> row(a.row);
    for_chunks(N, 16, [&](Index, Index begin, Index end) {
      R *p = scratch<R, 0>(D), *normalized = scratch<R, 1>(D);
      for (Index n = begin; n < end; ++n) {
        const R rms = root_mean_square(g + n * D, D, a.eps);
        silu_row(p, h + n * D, D);
        for (Index i = 0; i < D; ++i) p[i] *= g[n * D + i] / rms * w[i];
        const R second = root_mean_square(p, D, a.eps);
        row.write(n, p, second, normalized, D);
        rstd[2 * n] = 1 / rms, rstd[2 * n + 1] = 1 / second;
      }
    });
  });
}

void CpuBackend::run(const GatedNormQuantizeBackward& a) {
  visit_real(a.g.dtype(), [&]<class R>() {
    const Index D = a.g.shape().last(), N = a.g.elements() / D;
    const R *g = a.g.data<R>(), *h = a.h.data<R>(), *w = a.g_weight.data<R>(),
            *rstd = a.rstd.data<R>();
    R *dg = data_or_null<R>(a.dg.to), *dh = data_or_null<R>(a.dh.to);
    const Fp8Writer<R> dg_fp8("[gated_norm_quantize]", a.dg, a.dg_fp8);
    RowGradReader<R> row(a.row, N, D);
    std::vector<R> dw = partials_for<R>(a.dg_weight, N, D);
    for_chunks(N, reduction_chunk(N), [&](Index c, Index begin, Index end) {
      R *value = scratch<R, 0>(D), *slope = scratch<R, 1>(D), *p = scratch<R, 2>(D),
        *z = scratch<R, 3>(D), *dp = scratch<R, 4>(D);
      for (Index n = begin; n < end; ++n) {
        const R *gn = g + n * D, r = rstd[2 * n];
        silu_and_slope(value, slope, h + n * D, D);
        for (Index i = 0; i < D; ++i) p[i] = value[i] * gn[i] * r * w[i];
        std::fill_n(z, D, R(0));
        row.read(c, n, p, rstd[2 * n + 1], z, D);
        normalize_backward(dp, z, p, rstd[2 * n + 1], D);
        if (a.dg_weight)
          for (Index i = 0; i < D; ++i) dw[c * D + i] += dp[i] * value[i] * gn[i] * r;
        // two loops: the compiler gives up on checking seven pointers against each other
        for (Index i = 0; i < D; ++i) z[i] = dp[i] * value[i] * w[i];              // of g * r
        for (Index i = 0; i < D; ++i) p[i] = dp[i] * gn[i] * r * w[i] * slope[i];  // dh
        if (dh) put(dh + n * D, a.dh.add, D, p);
        normalize_backward(dp, z, gn, r, D);
        if (dg) put(dg + n * D, a.dg.add, D, dp);
        dg_fp8.write(n, dp, D);
      }
    });
    row.finish(a.row.dweight, D);
    if (a.dg_weight) reduce_partials(a.dg_weight, dw, D);
  });
}

namespace {

// rows of (a, b): side by side in one tensor, or in two; n (N), H
template <class R>
struct GluRows {
  GluRows(const Tensor& a, const Tensor& b)
      : left(data_or_null<R>(a)), right(b ? b.data<R>() : left) {
    if (!a) return;
    stride = a.shape().last();
    H = b ? stride : stride / 2;
    if (!b) right += H;
  }
  R *left = nullptr, *right = nullptr;
  Index stride = 0, H = 0;
};

}  // namespace

void CpuBackend::run(const SwigluNormQuantize& a) {
  visit_real(a.a.dtype(), [&]<class R>() {
    const GluRows<R> in(a.a, a.b);
    const Index H = in.H, N = a.a.elements() / in.stride;
    R* rstd = a.rstd.data<R>();
    const RowWriter<R> row(a.row);
    for_chunks(N, 16, [&](Index, Index begin, Index end) {
      R *p = scratch<R, 0>(H), *normalized = scratch<R, 1>(H);
      for (Index n = begin; n < end; ++n) {
        const R *left = in.left + n * in.stride, *right = in.right + n * in.stride;
        silu_row(p, left, H);
        for (Index i = 0; i < H; ++i) p[i] *= right[i];
        const R rms = root_mean_square(p, H, a.eps);
        row.write(n, p, rms, normalized, H);
        rstd[n] = 1 / rms;
      }
    });
  });
}

void CpuBackend::run(const SwigluNormQuantizeBackward& a) {
  visit_real(a.a.dtype(), [&]<class R>() {
    const GluRows<R> in(a.a, a.b);
    const Index H = in.H, N = a.a.elements() / in.stride, stride = in.stride;
    const R* rstd = a.rstd.data<R>();
    R *da = data_or_null<R>(a.da.to), *db = a.b ? data_or_null<R>(a.db.to) : da ? da + H : nullptr;
    const bool add_b = a.b ? a.db.add : a.da.add;
    const Fp8Writer<R> da_fp8("[swiglu_norm_quantize]", a.da, a.da_fp8);
    RowGradReader<R> row(a.row, N, H);
    for_chunks(N, reduction_chunk(N), [&](Index c, Index begin, Index end) {
      R *value = scratch<R, 0>(H), *slope = scratch<R, 1>(H), *p = scratch<R, 2>(H),
        *z = scratch<R, 3>(2 * H), *dp = z + H;  // side by side, as in da
      for (Index n = begin; n < end; ++n) {
        const R *left = in.left + n * stride, *right = in.right + n * stride;
        silu_and_slope(value, slope, left, H);
        for (Index i = 0; i < H; ++i) p[i] = value[i] * right[i];
        std::fill_n(z, H, R(0));
        row.read(c, n, p, rstd[n], z, H);
        if (!da && !db && !da_fp8.codes) continue;
        normalize_backward(dp, z, p, rstd[n], H);
        for (Index i = 0; i < H; ++i) {
          z[i] = dp[i] * right[i] * slope[i];  // da
          dp[i] *= value[i];                   // db
        }
        if (da) put(da + n * stride, a.da.add, H, z);
        if (db) put(db + n * stride, add_b, H, dp);
        da_fp8.write(n, z, 2 * H);
      }
    });
    row.finish(a.row.dweight, H);
  });
}

void CpuBackend::run(const Swiglu& a) {
  visit_real(a.y.dtype(), [&]<class R>() {
    const Index H = a.y.shape().last(), N = a.y.elements() / H;
    const R* ab = a.ab.data<R>();
    R* y = a.y.data<R>();
    for_chunks(N, 16, [&](Index, Index begin, Index end) {
      for (Index n = begin; n < end; ++n) {
        const R *left = ab + 2 * n * H, *right = left + H;
        silu_row(y + n * H, left, H);
        for (Index i = 0; i < H; ++i) y[n * H + i] *= right[i];
      }
    });
  });
}

void CpuBackend::run(const SwigluBackward& a) {
  visit_real(a.dy.dtype(), [&]<class R>() {
    const Index H = a.dy.shape().last(), N = a.dy.elements() / H;
    const R *ab = a.ab.data<R>(), *dy = a.dy.data<R>();
    R* dab = a.dab.to.data<R>();
    for_chunks(N, 16, [&](Index, Index begin, Index end) {
      R *value = scratch<R, 0>(H), *slope = scratch<R, 1>(H);
      for (Index n = begin; n < end; ++n) {
        const R *left = ab + 2 * n * H, *right = left + H, *d = dy + n * H;
        silu_and_slope(value, slope, left, H);
        for (Index i = 0; i < H; ++i) {
          slope[i] *= d[i] * right[i];  // da
          value[i] *= d[i];             // db
        }
        put(dab + 2 * n * H, a.dab.add, H, slope);
        put(dab + 2 * n * H + H, a.dab.add, H, value);
      }
    });
  });
}

}  // namespace tern
