// Sum, softmax and cumsum along one axis of a tensor seen as (outer, length, inner).
#include <cmath>

#include "core/cpu/cpu_backend.h"
#include "core/cpu/parallel.h"

namespace tern {

using namespace cpu;

namespace {

// body(base) for the first element of every line along the axis; a line's stride is axis.inner
template <class Body>
void for_lines(const Axis& axis, Body&& body) {
  for_chunks(axis.outer * axis.inner, std::max<Index>(1, 4096 / std::max<Index>(1, axis.length)),
             [&](Index, Index begin, Index end) {
               for (Index line = begin; line < end; ++line)
                 body(line / axis.inner * axis.length * axis.inner + line % axis.inner, line);
             });
}

}  // namespace

void CpuBackend::run(const Sum& a) {
  visit_real(a.x.dtype(), [&]<class R>() {
    const R* x = a.x.data<R>();
    R* y = a.y.data<R>();
    for_lines(a.axis, [&](Index at, Index line) {
      double sum = 0;
      for (Index k = 0; k < a.axis.length; ++k) sum += double(x[at + k * a.axis.inner]);
      y[line] = R(sum);
    });
  });
}

void CpuBackend::run(const SumBackward& a) {
  visit_real(a.dy.dtype(), [&]<class R>() {
    const R* dy = a.dy.data<R>();
    R* dx = a.dx.to.data<R>();
    for_lines(a.axis, [&](Index at, Index line) {
      for (Index k = 0; k < a.axis.length; ++k) {
        R& to = dx[at + k * a.axis.inner];
        to = (a.dx.add ? to : 0) + dy[line];
      }
    });
  });
}

void CpuBackend::run(const Softmax& a) {
  visit_real(a.x.dtype(), [&]<class R>() {
    const R* x = a.x.data<R>();
    R* y = a.y.data<R>();
    const Index step = a.axis.inner, n = a.axis.length;
    for_lines(a.axis, [&](Index at, Index) {
      R top = x[at], sum = 0;
      for (Index k = 1; k < n; ++k) top = std::max(top, x[at + k * step]);
      for (Index k = 0; k < n; ++k) sum += y[at + k * step] = std::exp(x[at + k * step] - top);
      for (Index k = 0; k < n; ++k) y[at + k * step] /= sum;
    });
  });
}

void CpuBackend::run(const SoftmaxBackward& a) {
  visit_real(a.dy.dtype(), [&]<class R>() {
    const R *dy = a.dy.data<R>(), *y = a.y.data<R>();
    R* dx = a.dx.to.data<R>();
    const Index step = a.axis.inner, n = a.axis.length;
    for_lines(a.axis, [&](Index at, Index) {
      R dot = 0;
      for (Index k = 0; k < n; ++k) dot += dy[at + k * step] * y[at + k * step];
      for (Index k = 0; k < n; ++k) {
        const Index i = at + k * step;
        dx[i] = (a.dx.add ? dx[i] : 0) + y[i] * (dy[i] - dot);
      }
    });
  });
}

void CpuBackend::run(const Cumsum& a) {
  visit_real(a.x.dtype(), [&]<class R>() {
    const R* x = a.x.data<R>();
    R* y = a.y.to.data<R>();
    const Index step = a.axis.inner, n = a.axis.length;
    for_lines(a.axis, [&](Index at, Index) {
      R sum = 0;
      for (Index k = 0; k < n; ++k) {
        const Index i = at + (a.reverse ? n - 1 - k : k) * step;
        sum += x[i];
        y[i] = (a.y.add ? y[i] : 0) + sum;
      }
    });
  });
}

}  // namespace tern
