// Softmax cross entropy with its gradient written over the logits, and the sum of the losses.
#include "cuda/cuda_backend.h"
#include "cuda/device.cuh"

namespace tern {

using namespace cuda;

namespace {

constexpr int kThreads = 512;

// What one thread or block knows of a row: its maximum and the sum of exp(x - maximum).
struct RunningSum {
  float top = -INFINITY, sum = 0;

  template <int V>
  __device__ void take(const float (&x)[V]) {
    float largest = top;
    for (int i = 0; i < V; ++i) largest = Max()(largest, x[i]);
    if (largest == -INFINITY) return;
    float added = 0;
    for (int i = 0; i < V; ++i) added += expf(x[i] - largest);
    sum = sum * expf(top - largest) + added;
    top = largest;
  }
  __device__ void reduce(float* shared) {
    float largest[1] = {top};
    reduce_block(largest, shared, Max());
    float total[1] = {top == -INFINITY ? 0 : sum * expf(top - largest[0])};
    reduce_block(total, shared, Add());
    top = largest[0];
    sum = total[0];
  }
};

// A block owns a row: thread t takes vectors t, t + kThreads, ... of it. The row is read twice, the
// second time mostly from L2, and written once: 4 V bytes through memory in bf16, which bounds it.
// Sums in f32, in an order that depends on V alone.
template <class A, int V>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_row(float* losses, A* logits, const std::int32_t* targets, const float* weight,
                      bool gradient, Index columns) {
  __shared__ float shared[32];
  const Index n = blockIdx.x;
  A* row = logits + n * columns;
  const int target = targets[n];
  float x[V];
  if (target == kIgnoreIndex) {
    if (threadIdx.x == 0) losses[n] = 0;
    for (int i = 0; i < V; ++i) x[i] = 0;
    for (Index i = threadIdx.x * V; gradient && i < columns; i += kThreads * V) store(row + i, x);
    return;
  }
  RunningSum all;
  for (Index i = threadIdx.x * V; i < columns; i += kThreads * V) {
    load(x, row + i);
    all.take(x);
  }
  const float wanted = to_float(row[target]);
  all.reduce(shared);  // its barriers stand between everybody's reading of `wanted` and the writes
  if (threadIdx.x == 0) losses[n] = logf(all.sum) - (wanted - all.top);
  if (!gradient) return;
  const float factor = *weight / all.sum;
  for (Index i = threadIdx.x * V; i < columns; i += kThreads * V) {
    load(x, row + i);
    for (int k = 0; k < V; ++k)
      x[k] = expf(x[k] - all.top) * factor - (i + k == target ? *weight : 0.0f);
    store(row + i, x);
  }
}

// One block; thread t sums losses t, t + 1024, ... in f64, then the threads are added in a tree.
__global__ void __launch_bounds__(1024)
    weighted_sum(double* loss, const float* losses, Index count, const float* weight) {
  __shared__ double partial[1024];
  double sum = 0;
  for (Index n = threadIdx.x; n < count; n += 1024) sum += double(losses[n]);
  partial[threadIdx.x] = sum;
  for (int half = 512; half > 0; half /= 2) {
    __syncthreads();
    if (int(threadIdx.x) < half) partial[threadIdx.x] += partial[threadIdx.x + half];
  }
  if (threadIdx.x == 0) *loss = partial[0] * double(*weight);
}

}  // namespace

void CudaBackend::run(const CrossEntropy& a) {
  visit_real(a.logits.dtype(), [&]<class A>() {
    const Index N = a.logits.shape()[0], V = a.logits.shape()[1];
    A* logits = a.logits.data<A>();
    const bool whole = V % 8 == 0 && std::uintptr_t(logits) % 16 == 0;
    const auto kernel = whole ? cross_entropy_row<A, 8> : cross_entropy_row<A, 1>;
    kernel<<<blocks_for(N, 1), kThreads, 0, stream_>>>(a.losses.data<float>(), logits,
                                                       a.targets.data<std::int32_t>(),
                                                       a.weight.data<float>(), a.gradient, V);
    launched("[cross_entropy]");
  });
}

void CudaBackend::run(const WeightedLoss& a) {
  weighted_sum<<<1, 1024, 0, stream_>>>(a.loss.data<double>(), a.losses.data<float>(),
                                        a.losses.elements(), a.weight.data<float>());
  launched("[weighted_loss]");
}

}  // namespace tern
