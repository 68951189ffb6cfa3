// Sum, softmax and cumsum along one axis of a tensor seen as (outer, length, inner): primitives, a
// thread to a line.
#include "cuda/cuda_backend.h"
#include "cuda/device.cuh"

namespace tern {

using namespace cuda;

namespace {

constexpr int kThreads = 128;

// Thread `line` owns one line along the axis and calls f(first element, line); the stride of a line
// is axis.inner, so neighbouring threads read neighbouring elements where inner > 1.
template <class F>
__global__ void __launch_bounds__(kThreads) for_lines(Axis axis, F f) {
  const Index line = Index(blockIdx.x) * kThreads + threadIdx.x;
  if (line < axis.outer * axis.inner)
    f(line / axis.inner * axis.length * axis.inner + line % axis.inner, line);
}

template <class F>
void launch(const char* name, const Axis& axis, cudaStream_t stream, F f) {
  const Index lines = axis.outer * axis.inner;
  if (lines == 0) return;
  for_lines<<<blocks_for(lines, kThreads), kThreads, 0, stream>>>(axis, f);
  launched(name);
}

template <class R>
__device__ void write(R* to, bool add, float x) {
  *to = from_float<R>(add ? to_float(*to) + x : x);
}

template <class R>
void sum(const Sum& a, cudaStream_t stream) {
  launch("[sum]", a.axis, stream,
         [x = a.x.data<R>(), y = a.y.data<R>(), axis = a.axis] __device__(Index at, Index line) {
           double sum = 0;
           for (Index k = 0; k < axis.length; ++k) sum += double(to_float(x[at + k * axis.inner]));
           y[line] = from_float<R>(float(sum));
         });
}

template <class R>
void sum_backward(const SumBackward& a, cudaStream_t stream) {
  launch("[sum_backward]", a.axis, stream,
         [dx = a.dx.to.data<R>(), add = a.dx.add, dy = a.dy.data<R>(), axis = a.axis] __device__(
             Index at, Index line) {
           for (Index k = 0; k < axis.length; ++k)
             write(dx + at + k * axis.inner, add, to_float(dy[line]));
         });
}

template <class R>
void softmax(const Softmax& a, cudaStream_t stream) {
  launch("[softmax]", a.axis, stream,
         [x = a.x.data<R>(), y = a.y.data<R>(), step = a.axis.inner, n = a.axis.length] __device__(
             Index at, Index) {
           float top = to_float(x[at]), sum = 0;
           for (Index k = 1; k < n; ++k) top = Max()(top, to_float(x[at + k * step]));
           for (Index k = 0; k < n; ++k) sum += expf(to_float(x[at + k * step]) - top);
           for (Index k = 0; k < n; ++k)
             y[at + k * step] = from_float<R>(expf(to_float(x[at + k * step]) - top) / sum);
         });
}

template <class R>
void softmax_backward(const SoftmaxBackward& a, cudaStream_t stream) {
  launch("[softmax_backward]", a.axis, stream,
         [dx = a.dx.to.data<R>(), add = a.dx.add, dy = a.dy.data<R>(), y = a.y.data<R>(),
          step = a.axis.inner, n = a.axis.length] __device__(Index at, Index) {
           float dot = 0;
           for (Index k = 0; k < n; ++k)
             dot += to_float(dy[at + k * step]) * to_float(y[at + k * step]);
           for (Index k = 0; k < n; ++k) {
             const Index i = at + k * step;
             write(dx + i, add, to_float(y[i]) * (to_float(dy[i]) - dot));
           }
         });
}

template <class R>
void cumsum(const Cumsum& a, cudaStream_t stream) {
  launch("[cumsum]", a.axis, stream,
         [x = a.x.data<R>(), y = a.y.to.data<R>(), add = a.y.add, step = a.axis.inner,
          n = a.axis.length, reverse = a.reverse] __device__(Index at, Index) {
           float sum = 0;
           for (Index k = 0; k < n; ++k) {
             const Index i = at + (reverse ? n - 1 - k : k) * step;
             sum += to_float(x[i]);
             write(y + i, add, sum);
           }
         });
}

}  // namespace

void CudaBackend::run(const Sum& a) {
  visit_real(a.x.dtype(), [&]<class R>() { sum<R>(a, stream_); });
}

void CudaBackend::run(const SumBackward& a) {
  visit_real(a.dy.dtype(), [&]<class R>() { sum_backward<R>(a, stream_); });
}

void CudaBackend::run(const Softmax& a) {
  visit_real(a.x.dtype(), [&]<class R>() { softmax<R>(a, stream_); });
}

void CudaBackend::run(const SoftmaxBackward& a) {
  visit_real(a.dy.dtype(), [&]<class R>() { softmax_backward<R>(a, stream_); });
}

void CudaBackend::run(const Cumsum& a) {
  visit_real(a.x.dtype(), [&]<class R>() { cumsum<R>(a, stream_); });
}

}  // namespace tern
