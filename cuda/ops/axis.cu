// Sum, softmax and cumsum along one axis of a tensor seen as (outer, length, inner), and the sums
// of columns that other kernels leave in parts.
#include <cub/block/block_scan.cuh>

#include "cuda/backend/cuda_backend.h"
#include "cuda/common/column_sum.cuh"
#include "cuda/common/device.cuh"

namespace tern {

using namespace cuda;

namespace {

constexpr int kSums = 4;

// Where the columns of all sums, side by side, go: to[k] = or +=, f32 or bf16
struct PutSums {
  void* to[kSums]{};
  bool add[kSums]{}, half[kSums]{};
  Index D = 0;

  __device__ void operator()(Index part, Index column, float sum) const {
    const Index k = column / D, d = column - k * D;
    if (!to[k]) return;
    if (half[k])
      PutSum<bf16>{static_cast<bf16*>(to[k]), add[k]}(part, d, sum);
    else
      PutSum<float>{static_cast<float*>(to[k]), add[k]}(part, d, sum);
  }
};

constexpr int kThreads = 256;

// One line along the axis: element k at[k * step]. A block owns it (whole), or a thread does; its
// thread takes elements begin, begin + stride, ...
template <bool whole>
struct Line {
  Index number, at, step;
  int begin, stride;

  __device__ explicit Line(const Axis& axis)
      : number(whole ? Index(blockIdx.x) : Index(blockIdx.x) * kThreads + threadIdx.x),
        at(number / axis.inner * axis.length * axis.inner + number % axis.inner),
        step(axis.inner),
        begin(whole ? int(threadIdx.x) : 0),
        stride(whole ? kThreads : 1) {}
  __device__ bool exists(const Axis& axis) const { return number < axis.outer * axis.inner; }
  __device__ Index operator[](Index k) const { return at + k * step; }
};

// over the line's threads
template <bool whole, class Op>
__device__ float reduce(float x, float* shared, Op op) {
  if constexpr (whole) {
    float all[1] = {x};
    reduce_block(all, shared, op);
    return all[0];
  }
  return x;
}

// The kernels below read a line once to three times, again mostly from cache, and write it once at
// most: bandwidth bounds them where lines are many. f32; reproducible, as a line belongs to one
// thread or to one block in a fixed order.

template <bool whole, class A>
__global__ void __launch_bounds__(kThreads) sum_lines(A* y, const A* x, Axis axis) {
  __shared__ float shared[32];
  const Line<whole> line(axis);
  if (!line.exists(axis)) return;
  float sum = 0;
#pragma unroll 4
  for (Index k = line.begin; k < axis.length; k += line.stride) sum += to_float(x[line[k]]);
  sum = reduce<whole>(sum, shared, Add());
  if (line.begin == 0) y[line.number] = from_float<A>(sum);
}

// A thread owns one element of dx; the same bounds and order.
template <class A>
__global__ void __launch_bounds__(kThreads)
    repeat_lines(A* dx, bool add, const A* dy, Axis axis, Index n) {
  const Index i = Index(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  float value[1] = {to_float(dy[i / (axis.length * axis.inner) * axis.inner + i % axis.inner])};
  put(dx + i, add, value);
}

template <bool whole, class A>
__global__ void __launch_bounds__(kThreads) softmax_lines(A* y, const A* x, Axis axis) {
  __shared__ float shared[32];
  const Line<whole> line(axis);
  if (!line.exists(axis)) return;
  float top = -INFINITY, sum = 0;
  for (Index k = line.begin; k < axis.length; k += line.stride)
    top = Max()(top, to_float(x[line[k]]));
  top = reduce<whole>(top, shared, Max());
  for (Index k = line.begin; k < axis.length; k += line.stride)
    sum += expf(to_float(x[line[k]]) - top);
  sum = reduce<whole>(sum, shared, Add());
  for (Index k = line.begin; k < axis.length; k += line.stride)
    y[line[k]] = from_float<A>(expf(to_float(x[line[k]]) - top) / sum);
}

template <bool whole, class A>
__global__ void __launch_bounds__(kThreads)
    softmax_lines_backward(A* dx, bool add, const A* dy, const A* y, Axis axis) {
  __shared__ float shared[32];
  const Line<whole> line(axis);
  if (!line.exists(axis)) return;
  float dot = 0;
  for (Index k = line.begin; k < axis.length; k += line.stride)
    dot += to_float(dy[line[k]]) * to_float(y[line[k]]);
  dot = reduce<whole>(dot, shared, Add());
  for (Index k = line.begin; k < axis.length; k += line.stride) {
    const Index i = line[k];
    float value[1] = {to_float(y[i]) * (to_float(dy[i]) - dot)};
    put(dx + i, add, value);
  }
}

// A block's threads take kThreads elements at a time, and carry their total along.
template <bool whole, class A>
__global__ void __launch_bounds__(kThreads)
    cumsum_lines(A* y, bool add, const A* x, Axis axis, bool reverse) {
  using Scan = cub::BlockScan<float, kThreads>;
  __shared__ typename Scan::TempStorage shared;
  const Line<whole> line(axis);
  if (!line.exists(axis)) return;
  float before = 0;
  for (Index first = 0; first < axis.length; first += line.stride) {
    const Index k = first + line.begin, i = line[reverse ? axis.length - 1 - k : k];
    float value[1] = {k < axis.length ? to_float(x[i]) : 0}, total = value[0];
    if constexpr (whole) {
      Scan(shared).InclusiveSum(value[0], value[0], total);
      __syncthreads();
    }
    value[0] += before;
    before += total;
    if (k < axis.length) put(y + i, add, value);
  }
}

// launch(whole, blocks): a block a line where lines are long and contiguous
template <class Launch>
void for_lines(const Axis& axis, const char* name, Launch&& launch) {
  const Index lines = axis.outer * axis.inner;
  if (lines == 0) return;
  if (axis.inner == 1 && axis.length >= 64)
    launch(std::true_type(), blocks_for(lines, 1));
  else
    launch(std::false_type(), blocks_for(lines, kThreads));
  launched(name);
}

}  // namespace

void cuda::add_column_sums(std::span<const Grad> to, float* parts, Index P, Index D,
                           cudaStream_t stream) {
  check(to.size() <= kSums, "[column_sums] expected at most ", kSums, " sums, got ", to.size());
  PutSums put{.D = D};
  bool wanted = false;
  for (std::size_t k = 0; k < to.size(); ++k) {
    if (!to[k]) continue;
    put.half[k] = to[k].to.dtype() == DType::bf16;
    put.to[k] = put.half[k] ? static_cast<void*>(to[k].to.data<bf16>()) : to[k].to.data<float>();
    put.add[k] = to[k].add;
    wanted = true;
  }
  const Index columns = Index(to.size()) * D;
  if (wanted) launch_column_sum(P, columns, 1, Parts{parts, columns}, put, stream);
}

void CudaBackend::run(const Sum& a) {
  visit_real(a.x.dtype(), [&]<class A>() {
    for_lines(a.axis, "[sum]", [&](auto whole, int blocks) {
      sum_lines<whole.value>
          <<<blocks, kThreads, 0, stream_>>>(a.y.data<A>(), a.x.data<A>(), a.axis);
    });
  });
}

void CudaBackend::run(const SumBackward& a) {
  const Index n = a.dx.to.elements();
  if (n == 0) return;
  visit_real(a.dy.dtype(), [&]<class A>() {
    repeat_lines<<<blocks_for(n, kThreads), kThreads, 0, stream_>>>(a.dx.to.data<A>(), a.dx.add,
                                                                    a.dy.data<A>(), a.axis, n);
    launched("[sum backward]");
  });
}

void CudaBackend::run(const Softmax& a) {
  visit_real(a.x.dtype(), [&]<class A>() {
    for_lines(a.axis, "[softmax]", [&](auto whole, int blocks) {
      softmax_lines<whole.value>
          <<<blocks, kThreads, 0, stream_>>>(a.y.data<A>(), a.x.data<A>(), a.axis);
    });
  });
}

void CudaBackend::run(const SoftmaxBackward& a) {
  visit_real(a.dy.dtype(), [&]<class A>() {
    for_lines(a.axis, "[softmax backward]", [&](auto whole, int blocks) {
      softmax_lines_backward<whole.value><<<blocks, kThreads, 0, stream_>>>(
          a.dx.to.data<A>(), a.dx.add, a.dy.data<A>(), a.y.data<A>(), a.axis);
    });
  });
}

void CudaBackend::run(const Cumsum& a) {
  visit_real(a.x.dtype(), [&]<class A>() {
    for_lines(a.axis, "[cumsum]", [&](auto whole, int blocks) {
      cumsum_lines<whole.value><<<blocks, kThreads, 0, stream_>>>(a.y.to.data<A>(), a.y.add,
                                                                  a.x.data<A>(), a.axis, a.reverse);
    });
  });
}

}  // namespace tern
