// The quantiser of rows, and back.
#include "cuda/backend/cuda_backend.h"
#include "cuda/rows/row_layout.cuh"
#include "cuda/rows/row_writer.cuh"

namespace tern {

using namespace cuda;

namespace {

template <class R>
struct Rows {
  std::int8_t* q;
  float* scale;
  const R* x;
  int D;
};

// A block owns a row, a thread its Items * V columns. Reads x and writes q once, R D + D bytes:
// bound by memory. f32, and exactly the CPU's codes. Reproducible: a maximum has no order.
template <class L, class R>
__global__ void __launch_bounds__(L::bound) quantize_rows(const Rows<R> a) {
  __shared__ float shared[32];
  const Index n = blockIdx.x;
  typename L::Row x;
  load_row<L>(x, a.x + n * a.D, a.D);
  float top[1] = {};
  each<L>([&](int i, int v) { top[0] = larger(top[0], fabsf(x[i][v])); });
  reduce_row<0>(top, shared);
  const float scale = write_codes<L>(a.q + n * a.D, x, 1, top[0], a.D);
  if (threadIdx.x == 0) a.scale[n] = scale;
}

// A block owns a row, a thread every blockDim.x-th column. D + R D bytes: bound by memory. f32.
// Reproducible.
template <class R>
__global__ void dequantize_rows(R* x, const std::int8_t* q, const float* scale, int D) {
  const Index row = Index(blockIdx.x) * D;
  const float divisor = scale[blockIdx.x];
  for (int i = int(threadIdx.x); i < D; i += int(blockDim.x))
    x[row + i] = from_float<R>(to_float(q[row + i]) / divisor);
}

}  // namespace

void CudaBackend::run(const QuantizeRows& a) {
  const Index D = a.x.shape().last(), N = a.x.elements() / D;
  visit_real(a.x.dtype(), [&]<class R>() {
    const Rows<R> task{.q = a.y.q.data<std::int8_t>(),
                       .scale = a.y.row_scale.data<float>(),
                       .x = a.x.data<R>(),
                       .D = int(D)};
    visit_layout<LongRow>("[quantize_rows]", D, in_fours(D, a.x, a.y.q), 0, [&]<class L>() {
      launch_rows("[quantize_rows]", quantize_rows<L, R>, task, N, L::threads(D), 0, stream_);
    });
  });
}

void CudaBackend::run(const Dequantize& a) {
  const Index D = a.x.shape().last(), N = a.x.elements() / D;
  if (N == 0) return;
  visit_real(a.x.dtype(), [&]<class R>() {
    dequantize_rows<<<blocks_for(N, 1), 512, 0, stream_>>>(a.x.data<R>(), a.y.q.data<std::int8_t>(),
                                                           a.y.row_scale.data<float>(), int(D));
    launched("[dequantize]");
  });
}

}  // namespace tern
