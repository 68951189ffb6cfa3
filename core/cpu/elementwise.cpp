#include "core/cpu/cpu_backend.h"
#include "core/cpu/functions.h"
#include "core/cpu/parallel.h"

namespace tern {

using namespace cpu;

namespace {

constexpr Index kChunk = 1 << 14;

template <class R>
void apply(UnaryFunction function, R* y, const R* x, Index n) {
  if (function == UnaryFunction::exp) exp_row(y, x, n);
  if (function == UnaryFunction::sigmoid) sigmoid_row(y, x, n);
  if (function == UnaryFunction::silu) silu_row(y, x, n);
  if (function == UnaryFunction::reciprocal)
    for (Index i = 0; i < n; ++i) y[i] = 1 / x[i];
}

// the derivative, from x and y = f(x)
template <class R>
void slope(UnaryFunction function, R* s, const R* x, const R* y, Index n) {
  if (function == UnaryFunction::exp) std::copy_n(y, n, s);
  if (function == UnaryFunction::sigmoid)
    for (Index i = 0; i < n; ++i) s[i] = y[i] * (1 - y[i]);
  if (function == UnaryFunction::silu) {
    sigmoid_row(s, x, n);
    for (Index i = 0; i < n; ++i) s[i] += y[i] * (1 - s[i]);
  }
  if (function == UnaryFunction::reciprocal)
    for (Index i = 0; i < n; ++i) s[i] = -y[i] * y[i];
}

template <class R>
R apply(BinaryFunction function, R a, R b) {
  if (function == BinaryFunction::add) return a + b;
  if (function == BinaryFunction::subtract) return a - b;
  return a * b;
}

}  // namespace

void CpuBackend::run(const Unary& a) {
  visit_real(a.y.dtype(), [&]<class R>() {
    R* y = a.y.data<R>();
    const R* x = a.x.data<R>();
    for_chunks(a.y.elements(), kChunk, [&](Index, Index begin, Index end) {
      apply(a.function, y + begin, x + begin, end - begin);
    });
  });
}

void CpuBackend::run(const UnaryBackward& a) {
  visit_real(a.dy.dtype(), [&]<class R>() {
    R* dx = a.dx.to.data<R>();
    const R *dy = a.dy.data<R>(), *x = a.x.data<R>(), *y = a.y.data<R>();
    for_chunks(a.dy.elements(), kChunk, [&](Index, Index begin, Index end) {
      const Index n = end - begin;
      R* row = scratch<R, 0>(kChunk);
      slope(a.function, row, x + begin, y + begin, n);
      for (Index i = 0; i < n; ++i) row[i] *= dy[begin + i];
      put(dx + begin, a.dx.add, n, row);
    });
  });
}

void CpuBackend::run(const Binary& a) {
  visit_real(a.y.dtype(), [&]<class R>() {
    R* y = a.y.data<R>();
    const R *x = a.a.data<R>(), *b = a.b.data<R>();
    const Index n = a.b.elements();
    for_chunks(a.y.elements() / n, std::max<Index>(1, kChunk / n),
               [&](Index, Index begin, Index end) {
                 for (Index r = begin; r < end; ++r)
                   for (Index i = 0; i < n; ++i)
                     y[r * n + i] = apply(a.function, x[r * n + i], b[i]);
               });
  });
}

void CpuBackend::run(const BinaryBackward& a) {
  visit_real(a.dy.dtype(), [&]<class R>() {
    const bool product = a.function == BinaryFunction::multiply;
    const R *dy = a.dy.data<R>(), *x = data_or_null<R>(a.a), *b = data_or_null<R>(a.b);
    const Index n = a.db ? a.db.to.elements() : a.b ? a.b.elements() : a.dy.elements();
    const Index rows = a.dy.elements() / n;
    if (a.da) {
      R* da = a.da.to.data<R>();
      for_chunks(rows, std::max<Index>(1, kChunk / n), [&](Index, Index begin, Index end) {
        for (Index i = begin * n; i < end * n; ++i)
          da[i] = (a.da.add ? da[i] : 0) + (product ? dy[i] * b[i % n] : dy[i]);
      });
    }
    if (a.db) {
      R* db = a.db.to.data<R>();
      const R sign = a.function == BinaryFunction::subtract ? -1 : 1;
      for_chunks(n, 64, [&](Index, Index begin, Index end) {
        for (Index i = begin; i < end; ++i) {
          R sum = 0;
          for (Index r = 0; r < rows; ++r) sum += dy[r * n + i] * (product ? x[r * n + i] : sign);
          db[i] = (a.db.add ? db[i] : 0) + sum;
        }
      });
    }
  });
}

void CpuBackend::run(const Accumulate& a) {
  visit_real(a.x.dtype(), [&]<class R>() {
    const R* x = a.x.data<R>();
    const R factor = R(a.factor);
    visit_stored<R>(a.to.to, [&]<class Stored>(Stored* to) {
      for_chunks(a.x.elements(), kChunk, [&](Index, Index begin, Index end) {
        for (Index i = begin; i < end; ++i)
          to[i] = to_stored<Stored>((a.to.add ? to_real(to[i]) : 0) + factor * x[i]);
      });
    });
  });
}

}  // namespace tern
