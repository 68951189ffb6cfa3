// Functions of one element at a time, operands repeated over leading dimensions, constants.

#include "cuda/backend/cuda_backend.h"
#include "cuda/common/column_sum.cuh"
#include "cuda/common/device.cuh"

namespace tern {

using namespace cuda;

namespace {

constexpr int kThreads = 256;

template <class A, int K>
struct Operands {
  const A* at[K];
};

// to = f(operands), or to += that. A thread owns V consecutive elements: reads each operand's, and
// writes. Bandwidth bounds it. f32; reproducible.
template <int V, class To, class A, int K, class F>
__global__ void __launch_bounds__(kThreads)
    map_elements(To* to, bool add, Operands<A, K> operands, Index n, F f) {
  const Index i = (Index(blockIdx.x) * kThreads + threadIdx.x) * V;
  if (i >= n) return;
  float x[K][V], y[V];
#pragma unroll
  for (int k = 0; k < K; ++k) load(x[k], operands.at[k] + i);
#pragma unroll
  for (int v = 0; v < V; ++v) {
    float element[K];
#pragma unroll
    for (int k = 0; k < K; ++k) element[k] = x[k][v];
    y[v] = f(element);
  }
  put(to + i, add, y);
}

template <class A, int K, class To = A, class F>
void map(const Tensor& to, bool add, const std::array<Tensor, K>& operands, F f,
         cudaStream_t stream) {
  constexpr int V = 16 / sizeof(A);
  const Index n = to.elements();
  if (n == 0) return;
  To* const out = to.data<To>();
  Operands<A, K> in;
  bool vectors = n % V == 0 && aligned<V * sizeof(To)>(out);
  for (int k = 0; k < K; ++k) {
    in.at[k] = operands[k].template data<A>();
    vectors = vectors && aligned<16>(in.at[k]);
  }
  if (vectors)
    map_elements<V><<<blocks_for(n, kThreads * V), kThreads, 0, stream>>>(out, add, in, n, f);
  else
    map_elements<1><<<blocks_for(n, kThreads), kThreads, 0, stream>>>(out, add, in, n, f);
  launched("[elementwise]");
}

struct UnaryValue {
  UnaryFunction function;

  __device__ float operator()(const float (&x)[1]) const {
    switch (function) {
      case UnaryFunction::exp:
        return expf(x[0]);
      case UnaryFunction::sigmoid:
        return sigmoid(x[0]);
      case UnaryFunction::silu:
        return x[0] * sigmoid(x[0]);
      case UnaryFunction::reciprocal:
        return 1 / x[0];
    }
    return 0;
  }
};

// dy times the derivative, from dy, x and y = f(x)
struct UnarySlope {
  UnaryFunction function;

  __device__ float operator()(const float (&in)[3]) const {
    const float dy = in[0], x = in[1], y = in[2];
    switch (function) {
      case UnaryFunction::exp:
        return dy * y;
      case UnaryFunction::sigmoid:
        return dy * y * (1 - y);
      case UnaryFunction::silu:
        return dy * (sigmoid(x) + y * (1 - sigmoid(x)));
      case UnaryFunction::reciprocal:
        return -dy * y * y;
    }
    return 0;
  }
};

struct Scaled {
  float factor;
  __device__ float operator()(const float (&x)[1]) const { return factor * x[0]; }
};

// to = factor * x, or to += that, in f64: what losses are counted in. A thread owns an element;
// latency bounds it. Reproducible.
__global__ void accumulate_doubles(double* to, bool add, const double* x, double factor, Index n) {
  const Index i = Index(blockIdx.x) * kThreads + threadIdx.x;
  if (i < n) to[i] = (add ? to[i] : 0) + factor * x[i];
}

void accumulate_losses(const Accumulate& a, cudaStream_t stream) {
  const Index n = a.x.elements();
  if (n == 0) return;
  accumulate_doubles<<<blocks_for(n, kThreads), kThreads, 0, stream>>>(
      a.to.to.data<double>(), a.to.add, a.x.data<double>(), a.factor, n);
  launched("[accumulate]");
}

__device__ float apply(BinaryFunction function, float a, float b) {
  if (function == BinaryFunction::add) return a + b;
  if (function == BinaryFunction::subtract) return a - b;
  return a * b;
}

// to = a op b, or to += that, with b's `period` elements repeated. A thread owns V consecutive
// elements, all within one repetition unless V is 1: 3 V elements through memory, which bounds it.
// f32; reproducible.
template <int V, class A>
__global__ void __launch_bounds__(kThreads)
    binary_elements(A* to, bool add, const A* a, const A* b, Index n, Index period,
                    BinaryFunction function) {
  const Index i = (Index(blockIdx.x) * kThreads + threadIdx.x) * V;
  if (i >= n) return;
  float x[V], w[V];
  load(x, a + i);
  if (period == 1) {
#pragma unroll
    for (int v = 0; v < V; ++v) w[v] = to_float(b[0]);
  } else {
    load(w, b + (period == n ? i : i % period));
  }
#pragma unroll
  for (int v = 0; v < V; ++v) x[v] = apply(function, x[v], w[v]);
  put(to + i, add, x);
}

template <class A>
void binary(const Tensor& to, bool add, const Tensor& a, const Tensor& b, BinaryFunction function,
            cudaStream_t stream) {
  constexpr int V = 16 / sizeof(A);
  const Index n = to.elements(), period = b.elements();
  if (n == 0) return;
  A* const out = to.data<A>();
  const A *x = a.data<A>(), *w = b.data<A>();
  if (n % V == 0 && aligned<16>(out) && aligned<16>(x) &&
      (period == 1 || (period % V == 0 && aligned<16>(w))))
    binary_elements<V>
        <<<blocks_for(n, kThreads * V), kThreads, 0, stream>>>(out, add, x, w, n, period, function);
  else
    binary_elements<1>
        <<<blocks_for(n, kThreads), kThreads, 0, stream>>>(out, add, x, w, n, period, function);
  launched("[binary]");
}

// What a repetition adds to db: dy times a, or times a constant without a.
template <class A>
struct RepetitionGradient {
  const A *dy, *a;
  float factor;
  Index columns;

  __device__ float operator()(Index row, Index column) const {
    const Index i = row * columns + column;
    return to_float(dy[i]) * (a ? to_float(a[i]) : factor);
  }
};

// A thread writes one element: bandwidth bounds it. Nothing is summed; reproducible.
template <class T>
__global__ void __launch_bounds__(kThreads) fill_constant(T* to, T value, Index n) {
  const Index i = Index(blockIdx.x) * kThreads + threadIdx.x;
  if (i < n) to[i] = value;
}

template <class T>
void fill_with(const Tensor& to, T value, cudaStream_t stream) {
  const Index n = to.elements();
  if (n == 0) return;
  fill_constant<<<blocks_for(n, kThreads), kThreads, 0, stream>>>(to.data<T>(), value, n);
  launched("[fill]");
}

}  // namespace

void cuda::fill_elements(const Tensor& to, double value, cudaStream_t stream) {
  switch (to.dtype()) {
    case DType::f64:
      return fill_with(to, value, stream);
    case DType::f32:
      return fill_with(to, float(value), stream);
    case DType::bf16:
      return fill_with(to, __float2bfloat16_rn(float(value)), stream);
    case DType::i32:
      return fill_with(to, std::int32_t(value), stream);
    case DType::i8:
    case DType::e4m3:
    case DType::t2:
      break;
  }
  check(false, "[fill] expected f64, f32, bf16 or i32, got ", to);
}

void CudaBackend::run(const Unary& a) {
  visit_real(a.y.dtype(),
             [&]<class A>() { map<A, 1>(a.y, false, {a.x}, UnaryValue{a.function}, stream_); });
}

void CudaBackend::run(const UnaryBackward& a) {
  visit_real(a.dy.dtype(), [&]<class A>() {
    map<A, 3>(a.dx.to, a.dx.add, {a.dy, a.x, a.y}, UnarySlope{a.function}, stream_);
  });
}

void CudaBackend::run(const Accumulate& a) {
  if (a.x.dtype() == DType::f64) return accumulate_losses(a, stream_);
  const Scaled scaled{float(a.factor)};
  if (a.x.dtype() == DType::f32 && a.to.to.dtype() == DType::bf16)  // a gradient, as it is stored
    return map<float, 1, bf16>(a.to.to, a.to.add, {a.x}, scaled, stream_);
  visit_real(a.x.dtype(), [&]<class A>() { map<A, 1>(a.to.to, a.to.add, {a.x}, scaled, stream_); });
}

void CudaBackend::run(const Binary& a) {
  visit_real(a.y.dtype(), [&]<class A>() { binary<A>(a.y, false, a.a, a.b, a.function, stream_); });
}

void CudaBackend::run(const BinaryBackward& a) {
  const bool product = a.function == BinaryFunction::multiply;
  const Tensor work = workspace(a);
  visit_real(a.dy.dtype(), [&]<class A>() {
    if (a.da && product) binary<A>(a.da.to, a.da.add, a.dy, a.b, a.function, stream_);
    if (a.da && !product) map<A, 1>(a.da.to, a.da.add, {a.dy}, Scaled{1}, stream_);
    const Index columns = a.db ? a.db.to.elements() : 0;
    if (columns == 0) return;
    const float factor = a.function == BinaryFunction::subtract ? -1.0f : 1.0f;
    const Index rows = a.dy.elements() / columns;
    // nothing is repeated, so nothing to sum
    if (rows == 1 && !product) return map<A, 1>(a.db.to, a.db.add, {a.dy}, Scaled{factor}, stream_);
    const Index parts = work ? repetition_parts(rows, columns, traits_) : 1;
    const RepetitionGradient<A> gradient{.dy = a.dy.data<A>(),
                                         .a = product ? a.a.data<A>() : nullptr,
                                         .factor = factor,
                                         .columns = columns};
    const PutSum<A> put{a.db.to.data<A>(), a.db.add};
    if (parts == 1) return launch_column_sum(rows, columns, 1, gradient, put, stream_);
    const Parts sums{static_cast<float*>(work.raw()), columns};
    launch_column_sum(rows, columns, parts, gradient, sums, stream_);
    launch_column_sum(parts, columns, 1, sums, put, stream_);
  });
}

}  // namespace tern
