// Attention with rotary embedding: each head of each sequence on one thread, queries in blocks.
#include "core/cpu/cpu_backend.h"
#include "core/cpu/functions.h"
#include "core/cpu/rows.h"

namespace tern {

using namespace cpu;

namespace {

constexpr Index kQueries = 64;  // of a block: (queries, keys) scores exist at a time

// cos and sin of position * theta^(-2i/d) for all steps, (T, d/2) each; negative: of the opposite
// rotation
template <class R>
struct Angles {
  Angles(Index T, Index d, Index first, double theta, bool opposite) : half(d / 2) {
    cosine.resize(T * half), sine.resize(T * half);
    for (Index i = 0; i < half; ++i) {
      const double frequency = std::pow(theta, -2.0 * double(i) / double(d));
      for (Index t = 0; t < T; ++t) {
        const double angle = double(first + t) * frequency;
        cosine[t * half + i] = R(std::cos(angle));
        sine[t * half + i] = R(opposite ? -std::sin(angle) : std::sin(angle));
      }
    }
  }
  // to (d) = x (d), rotated as step t asks
  void rotate(R* to, const R* x, Index t) const {
    const R *c = cosine.data() + t * half, *s = sine.data() + t * half;
    for (Index i = 0; i < half; ++i) {
      to[i] = x[i] * c[i] - x[i + half] * s[i];
      to[i + half] = x[i + half] * c[i] + x[i] * s[i];
    }
  }
  Index half;
  std::vector<R> cosine{}, sine{};
};

// x (d) to -m, 0 or m, m = mean |x|
template <class R>
void round_to_ternary(R* x, Index d) {
  R sum = 0;
  for (Index i = 0; i < d; ++i) sum += std::abs(x[i]);
  const R scale = 1 / std::max(sum / R(d), R(1e-5));
  const bool finite = std::isfinite(sum);
  for (Index i = 0; i < d; ++i)
    x[i] = finite ? std::min(R(1), std::max(R(-1), std::nearbyint(x[i] * scale))) / scale
                  : std::numeric_limits<R>::quiet_NaN();
}

// Where q, k and v (or their gradients) lie: side by side in one tensor, or in three.
template <class R>
struct Parts {
  Parts(const Tensor& q, const Tensor& k, const Tensor& v, Index D)
      : data{data_or_null<R>(q), data_or_null<R>(k), data_or_null<R>(v)}, stride(D) {
    if (q && q.shape().last() == D) return;
    stride = 3 * D;
    if (data[0]) data[1] = data[0] + D, data[2] = data[0] + 2 * D;
  }
  R* row(int part, Index n) const { return data[part] ? data[part] + n * stride : nullptr; }
  R* data[3];
  Index stride;
};

}  // namespace

void CpuBackend::run(const Rotary& a) {
  visit_real(a.qkv.dtype(), [&]<class R>() {
    const Index B = a.qkv.shape()[0], T = a.qkv.shape()[1], D = a.qkv.shape()[2] / 3;
    const Index d = D / a.heads;
    const Angles<R> angles(T, d, a.first, a.theta, false);
    const Parts<R> in(a.q, a.k, a.v, D);
    R* qkv = a.qkv.data<R>();
    for_chunks(B * T, 16, [&](Index, Index begin, Index end) {
      R* rotated = scratch<R, 0>(d);  // out may be in
      for (Index n = begin; n < end; ++n)
        for (int part = 0; part < 3; ++part) {
          const R* from = in.row(part, n);
          R* to = qkv + n * 3 * D + part * D;
          if (part == 2) {
            if (to != from) std::copy_n(from, D, to);
            continue;
          }
          for (Index h = 0; h < D; h += d) {
            angles.rotate(rotated, from + h, n % T);
            if (a.ternary) round_to_ternary(rotated, d);
            std::copy_n(rotated, d, to + h);
          }
        }
    });
  });
}

void CpuBackend::run(const RotaryBackward& a) {
  visit_real(a.dqkv.dtype(), [&]<class R>() {
    const Index B = a.dqkv.shape()[0], T = a.dqkv.shape()[1], D = a.dqkv.shape()[2] / 3;
    const Index d = D / a.heads;
    const Angles<R> angles(T, d, a.first, a.theta, true);
    const bool together = a.dq && a.dq.to.shape().last() == 3 * D;
    const Grad* grads[] = {&a.dq, together ? &a.dq : &a.dk, together ? &a.dq : &a.dv};
    const R* from = a.dqkv.data<R>();
    for_chunks(B * T, 16, [&](Index, Index begin, Index end) {
      R* rotated = scratch<R, 0>(d);
      for (Index n = begin; n < end; ++n)
        for (int part = 0; part < 3; ++part) {
          const Grad& grad = *grads[part];
          if (!grad) continue;
          const R* row = from + n * 3 * D + part * D;
          R* to = grad.to.data<R>() + (together ? n * 3 * D + part * D : n * D);
          if (part == 2) {
            if (to != row) put(to, grad.add, D, row);
            continue;
          }
          for (Index h = 0; h < D; h += d) {
            angles.rotate(rotated, row + h, n % T);
            put(to + h, grad.add, d, rotated);
          }
        }
    });
  });
}

namespace {

// One head of one sequence, its rows gathered: q (T, d), k and v (S, d), S = seen + T.
template <class R>
struct Head {
  // part 0 to 2 of the rows of qkv that head h has, to `to` (T, d)
  static void gather(R* to, const R* qkv, Index T, Index D, Index d, Index h, int part) {
    for (Index t = 0; t < T; ++t) std::copy_n(qkv + t * 3 * D + part * D + h * d, d, to + t * d);
  }
  static ConstRows<R> view(const R* rows, Index count, Index d) {
    return {rows, count, d, Eigen::OuterStride<>(d)};
  }
};

}  // namespace

void CpuBackend::run(const Attention& a) {
  visit_real(a.out.dtype(), [&]<class R>() {
    const Index B = a.out.shape()[0], T = a.out.shape()[1], D = a.out.shape()[2];
    const Index d = D / a.heads, S = a.seen + T, C = a.earlier ? a.earlier.shape()[1] : 0;
    const R factor = 1 / std::sqrt(R(d));
    const R *qkv_all = a.qkv.data<R>(), *earlier_all = data_or_null<R>(a.earlier);
    R *out = a.out.data<R>(), *log_sum = data_or_null<R>(a.log_sum);
    for_tasks(B * a.heads, T * S * d, [&](Index work) {
      const Index b = work / a.heads, h = work % a.heads;
      const R* qkv = qkv_all + b * T * 3 * D;
      R *q = scratch<R, 0>(T * d), *k = scratch<R, 1>(S * d), *v = scratch<R, 2>(S * d),
        *s = scratch<R, 3>(kQueries * S), *o = scratch<R, 4>(kQueries * d);
      for (Index t = 0; t < a.seen; ++t) {
        const R* row = earlier_all + (b * C + t) * 2 * D + h * d;
        std::copy_n(row, d, k + t * d);
        std::copy_n(row + D, d, v + t * d);
      }
      Head<R>::gather(q, qkv, T, D, d, h, 0);
      Head<R>::gather(k + a.seen * d, qkv, T, D, d, h, 1);
      Head<R>::gather(v + a.seen * d, qkv, T, D, d, h, 2);
      for (Index first = 0; first < T; first += kQueries) {
        const Index n = std::min(kQueries, T - first), keys = a.seen + first + n;
        Rows<R> scores(s, n, keys, Eigen::OuterStride<>(keys));
        Rows<R> block(o, n, d, Eigen::OuterStride<>(d));
        scores.noalias() =
            Head<R>::view(q + first * d, n, d) * Head<R>::view(k, keys, d).transpose();
        for (Index i = 0; i < n; ++i) {
          R* row = s + i * keys;
          const Index seen = a.seen + first + i + 1;  // keys of this query
          for (Index j = 0; j < seen; ++j) row[j] *= factor;
          const R top = largest(row, seen);
          exp_row(row, row, seen, top);
          const R sum = total(row, seen);
          for (Index j = 0; j < seen; ++j) row[j] /= sum;
          std::fill(row + seen, row + keys, R(0));
          if (log_sum) log_sum[work * T + first + i] = top + std::log(sum);
        }
        block.noalias() = scores * Head<R>::view(v, keys, d);
        for (Index i = 0; i < n; ++i)
          std::copy_n(o + i * d, d, out + (b * T + first + i) * D + h * d);
      }
    });
  });
}

void CpuBackend::run(const AttentionBackward& a) {
  visit_real(a.dout.dtype(), [&]<class R>() {
    const Index B = a.dout.shape()[0], T = a.dout.shape()[1], D = a.dout.shape()[2];
    const Index d = D / a.heads;
    const R factor = 1 / std::sqrt(R(d));
    const R *qkv_all = a.qkv.data<R>(), *out = a.out.data<R>(), *dout = a.dout.data<R>(),
            *log_sum = a.log_sum.data<R>();
    R* dqkv = a.dqkv.to.data<R>();
    for_tasks(B * a.heads, T * T * d, [&](Index work) {
      const Index b = work / a.heads, h = work % a.heads;
      const R* qkv = qkv_all + b * T * 3 * D;
      R *q = scratch<R, 0>(T * d), *k = scratch<R, 1>(T * d), *v = scratch<R, 2>(T * d),
        *s = scratch<R, 3>(kQueries * T), *ds = scratch<R, 4>(kQueries * T),
        *dq = scratch<R, 5>(T * d), *dk = scratch<R, 6>(T * d), *dv = scratch<R, 7>(T * d),
        *dy = scratch<R, 8>(kQueries * d);
      R* const gathered[] = {q, k, v};
      for (int part = 0; part < 3; ++part) Head<R>::gather(gathered[part], qkv, T, D, d, h, part);
      std::fill_n(dk, T * d, R(0));
      std::fill_n(dv, T * d, R(0));
      for (Index first = 0; first < T; first += kQueries) {
        const Index n = std::min(kQueries, T - first), keys = first + n;
        const auto queries = Head<R>::view(q + first * d, n, d), key = Head<R>::view(k, keys, d),
                   value = Head<R>::view(v, keys, d), dy_rows = Head<R>::view(dy, n, d);
        Rows<R> p(s, n, keys, Eigen::OuterStride<>(keys)),
            slopes(ds, n, keys, Eigen::OuterStride<>(keys));
        for (Index i = 0; i < n; ++i)
          std::copy_n(dout + (b * T + first + i) * D + h * d, d, dy + i * d);
        p.noalias() = queries * key.transpose();
        slopes.noalias() = dy_rows * value.transpose();
        for (Index i = 0; i < n; ++i) {
          R *row = s + i * keys, *slope = ds + i * keys;
          const Index t = first + i, seen = t + 1;
          const R e = dot(dy + i * d, out + (b * T + t) * D + h * d, d);
          for (Index j = 0; j < seen; ++j) row[j] *= factor;
          exp_row(row, row, seen, log_sum[work * T + t]);
          for (Index j = 0; j < seen; ++j) slope[j] = row[j] * (slope[j] - e) * factor;
          std::fill(row + seen, row + keys, R(0));
          std::fill(slope + seen, slope + keys, R(0));
        }
        Rows<R>(dq + first * d, n, d, Eigen::OuterStride<>(d)).noalias() = slopes * key;
        Rows<R>(dk, keys, d, Eigen::OuterStride<>(d)).noalias() += slopes.transpose() * queries;
        Rows<R>(dv, keys, d, Eigen::OuterStride<>(d)).noalias() += p.transpose() * dy_rows;
      }
      const R* const grads[] = {dq, dk, dv};
      for (Index t = 0; t < T; ++t)
        for (int part = 0; part < 3; ++part)
          put(dqkv + (b * T + t) * 3 * D + part * D + h * d, a.dqkv.add, d, grads[part] + t * d);
    });
  });
}

void CpuBackend::run(const StoreKeysValues& a) {
  visit_real(a.cache.dtype(), [&]<class R>() {
    const Index B = a.qkv.shape()[0], T = a.qkv.shape()[1], D = a.qkv.shape()[2] / 3;
    const Index C = a.cache.shape()[1];
    for (Index b = 0; b < B; ++b)
      for (Index t = 0; t < T; ++t)
        std::copy_n(a.qkv.data<R>() + (b * T + t) * 3 * D + D, 2 * D,
                    a.cache.data<R>() + (b * C + a.at + t) * 2 * D);
  });
}

}  // namespace tern
