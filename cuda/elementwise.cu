// Element-wise primitives: right at any size, quick enough for a prototype.
#include "cuda/cuda_backend.h"
#include "cuda/device.cuh"
#include "cuda/fill.h"

namespace tern {

using namespace cuda;

namespace {

constexpr int kThreads = 256;

// Thread i owns elements i, i + all threads, ... and calls f with each. Bound by memory.
template <class F>
__global__ void __launch_bounds__(kThreads) for_elements(Index count, F f) {
  const Index stride = Index(gridDim.x) * kThreads;
  for (Index i = Index(blockIdx.x) * kThreads + threadIdx.x; i < count; i += stride) f(i);
}

template <class F>
void launch(const char* name, Index count, cudaStream_t stream, F f) {
  if (count == 0) return;
  const int blocks = int(std::min<Index>((count + kThreads - 1) / kThreads, 4096));
  for_elements<<<blocks, kThreads, 0, stream>>>(count, f);
  launched(name);
}

__device__ float apply(UnaryFunction function, float x) {
  switch (function) {
    case UnaryFunction::exp:
      return expf(x);
    case UnaryFunction::sigmoid:
      return sigmoid(x);
    case UnaryFunction::silu:
      return x * sigmoid(x);
    case UnaryFunction::reciprocal:
      return 1 / x;
  }
  return 0;
}

// the derivative, from x and y = f(x)
__device__ float slope(UnaryFunction function, float x, float y) {
  switch (function) {
    case UnaryFunction::exp:
      return y;
    case UnaryFunction::sigmoid:
      return y * (1 - y);
    case UnaryFunction::silu:
      return sigmoid(x) + y * (1 - sigmoid(x));
    case UnaryFunction::reciprocal:
      return -y * y;
  }
  return 0;
}

__device__ float apply(BinaryFunction function, float a, float b) {
  if (function == BinaryFunction::add) return a + b;
  return function == BinaryFunction::subtract ? a - b : a * b;
}

template <class R>
__device__ void write(R* to, bool add, float x) {
  *to = from_float<R>(add ? to_float(*to) + x : x);
}

template <class R>
void unary(const Unary& a, cudaStream_t stream) {
  launch("[unary]", a.y.elements(), stream,
         [y = a.y.data<R>(), x = a.x.data<R>(), f = a.function] __device__(Index i) {
           y[i] = from_float<R>(apply(f, to_float(x[i])));
         });
}

template <class R>
void unary_backward(const UnaryBackward& a, cudaStream_t stream) {
  launch("[unary_backward]", a.dy.elements(), stream,
         [dx = a.dx.to.data<R>(), add = a.dx.add, dy = a.dy.data<R>(), x = a.x.data<R>(),
          y = a.y.data<R>(), f = a.function] __device__(Index i) {
           write(dx + i, add, to_float(dy[i]) * slope(f, to_float(x[i]), to_float(y[i])));
         });
}

template <class R>
void binary(const Binary& a, cudaStream_t stream) {
  launch("[binary]", a.y.elements(), stream,
         [y = a.y.data<R>(), x = a.a.data<R>(), b = a.b.data<R>(), n = a.b.elements(),
          f = a.function] __device__(Index i) {
           y[i] = from_float<R>(apply(f, to_float(x[i]), to_float(b[i % n])));
         });
}

template <class R>
void binary_backward(const BinaryBackward& a, cudaStream_t stream) {
  const bool product = a.function == BinaryFunction::multiply;
  const R *dy = a.dy.data<R>(), *x = data_or_null<R>(a.a), *b = data_or_null<R>(a.b);
  const Index n = a.db ? a.db.to.elements() : a.b ? a.b.elements() : a.dy.elements();
  if (a.da)
    launch("[binary_backward] da", a.dy.elements(), stream,
           [da = a.da.to.data<R>(), add = a.da.add, dy, b, n, product] __device__(Index i) {
             write(da + i, add, to_float(dy[i]) * (product ? to_float(b[i % n]) : 1.0f));
           });
  if (!a.db) return;
  const float sign = a.function == BinaryFunction::subtract ? -1 : 1;
  launch("[binary_backward] db", n, stream,
         [db = a.db.to.data<R>(), add = a.db.add, dy, x, n, product, sign,
          rows = a.dy.elements() / n] __device__(Index i) {
           float sum = 0;
           for (Index r = 0; r < rows; ++r)
             sum += to_float(dy[r * n + i]) * (product ? to_float(x[r * n + i]) : sign);
           write(db + i, add, sum);
         });
}

template <class R>
void accumulate(const Accumulate& a, cudaStream_t stream) {
  launch("[accumulate]", a.x.elements(), stream,
         [to = a.to.to.data<R>(), add = a.to.add, x = a.x.data<R>(),
          factor = float(a.factor)] __device__(Index i) {
           write(to + i, add, factor * to_float(x[i]));
         });
}

void accumulate_losses(const Accumulate& a, cudaStream_t stream) {
  launch("[accumulate]", a.x.elements(), stream,
         [to = a.to.to.data<double>(), add = a.to.add, x = a.x.data<double>(),
          factor = a.factor] __device__(Index i) { to[i] = (add ? to[i] : 0) + factor * x[i]; });
}

template <class T>
void fill_with(const Tensor& to, T value, cudaStream_t stream) {
  launch("[fill]", to.elements(), stream,
         [p = to.data<T>(), value] __device__(Index i) { p[i] = value; });
}

}  // namespace

void cuda::fill_elements(const Tensor& to, double value, cudaStream_t stream) {
  if (to.dtype() == DType::f64) return fill_with(to, value, stream);
  if (to.dtype() == DType::i32) return fill_with(to, std::int32_t(value), stream);
  if (to.dtype() == DType::f32) return fill_with(to, float(value), stream);
  fill_with(to, __float2bfloat16_rn(float(value)), stream);
}

void CudaBackend::run(const Unary& a) {
  visit_real(a.y.dtype(), [&]<class R>() { unary<R>(a, stream_); });
}

void CudaBackend::run(const UnaryBackward& a) {
  visit_real(a.dy.dtype(), [&]<class R>() { unary_backward<R>(a, stream_); });
}

void CudaBackend::run(const Binary& a) {
  visit_real(a.y.dtype(), [&]<class R>() { binary<R>(a, stream_); });
}

void CudaBackend::run(const BinaryBackward& a) {
  visit_real(a.dy.dtype(), [&]<class R>() { binary_backward<R>(a, stream_); });
}

void CudaBackend::run(const Accumulate& a) {
  if (a.x.dtype() == DType::f64) return accumulate_losses(a, stream_);
  visit_real(a.x.dtype(), [&]<class R>() { accumulate<R>(a, stream_); });
}

}  // namespace tern
