// The warps of a product each take a part of the columns. Of it a warp multiplies all rows and
// sequences of its block on the tensor cores, codes at two bits unpacked in registers; the parts
// are added up in shared memory. A kernel starts while the one before it ends, and fetches its
// first codes before it waits for it. (sm_90a)
#include <algorithm>

#include "cuda/common/check.h"
#include "cuda/decode/decode_arithmetic.cuh"
#include "cuda/decode/decode_graph.h"
#include "cuda/products/tile_product.cuh"

namespace tern::cuda {

using namespace decode;

namespace {

constexpr int kBlockStreams = 4 * kTileRows;  // of a block at most
constexpr int kMostStreams = 256;

Kind kind_of(std::size_t stage, int layers) {
  return stage == 4 * std::size_t(layers) ? kHead : Kind(stage % 4);
}

// What goes from kernel to kernel. `rows`: streams, up to a multiple of kBlockStreams.
struct Buffers {
  ExchangeWord* words = nullptr;  // (rows, max(D, H) / 2)
  float* x = nullptr;             // (rows, D) what the blocks add to
  std::int8_t* codes = nullptr;   // (1 or 3, rows, columns)
  float* scale = nullptr;         // (1 or 3, rows): top / (127 rms)
  int* code_sum = nullptr;        // (1 or 3, rows)
  int streams = 0, rows = 0, row_words = 0;
};

Buffers buffers_of(int width, int hidden, int streams, void* memory, std::size_t* bytes = nullptr) {
  Buffers b{.streams = streams,
            .rows = (streams + kBlockStreams - 1) / kBlockStreams * kBlockStreams,
            .row_words = std::max(width, hidden) / 2};
  std::size_t at = 0;
  const auto take = [&]<class T>(T*& part, int columns) {
    part = reinterpret_cast<T*>(static_cast<char*>(memory) + at);
    at += (std::size_t(b.rows) * std::size_t(columns) * sizeof(T) + 255) / 256 * 256;
  };
  take(b.words, b.row_words), take(b.x, width);
  take(b.codes, std::max(kMaxInputs * width, hidden));
  take(b.scale, kMaxInputs), take(b.code_sum, kMaxInputs);
  if (bytes) *bytes = at;
  return b;
}

// What the kernel before this one wrote can be read; its own successor may start.
__device__ inline void wait_for_previous() {
  asm volatile("griddepcontrol.wait;" ::: "memory");
}
__device__ inline void let_next_start() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

// ---- rows are quantised ----

struct RowsArguments {
  DecodeArguments a;
  Buffers b;
  const float* into = nullptr;
  int columns = 0;
  bool embedding = false, keep = false, beside_first = false, twice = false;
};

// A block for each sequence. P: products that read it.
template <int W, int P>
__global__ void __launch_bounds__(kThreads)
    quantize_kernel(const __grid_constant__ RowsArguments r) {
  __shared__ alignas(16) float2 squares[kThreads];
  __shared__ float tops[P][kWarps];
  __shared__ int sums[P][kWarps];
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32, stream = blockIdx.x;
  const Buffers& b = r.b;
  const auto has = [&](int i) { return (i * kThreads + warp * 32) * 2 < r.columns; };
  let_next_start();
  float2 y[P][W];
#pragma unroll
  for (int k = 0; k < P; ++k)
#pragma unroll
    for (int i = 0; i < W; ++i) {
      y[k][i] = {0, 0};
      if (has(i)) y[k][i] = load_now(r.into + k * r.columns + 2 * (thread + i * kThreads));
    }
  wait_for_previous();
  ExchangeWord w[W];
  const ExchangeWord* from = b.words + std::size_t(stream) * b.row_words + thread;
#pragma unroll
  for (int i = 0; i < W; ++i) {
    w[i] = {};
    if (!has(i)) continue;
    if (r.embedding)
      w[i] = embedded(r.a, max(r.a.id[stream], 0), thread + i * kThreads, 0);
    else
      w[i] = from[i * kThreads];
  }
  const RowPart<W, P> part = weigh(w, y);
  squares[thread] =
      r.beside_first ? float2{part.beside, part.squares} : float2{part.squares, part.beside};
#pragma unroll
  for (int k = 0; k < P; ++k) {
    const float top = top_of_warp(part.top[k]);
    if (lane == 0) tops[k][warp] = top;
  }
  __syncthreads();
  float top[P];
#pragma unroll
  for (int k = 0; k < P; ++k) {
    top[k] = top_of_row(tops[k], lane);
    const float factor = code_factor(top[k]);
    std::int8_t* codes = b.codes + (std::size_t(k) * b.rows + stream) * r.columns;
    int sum = 0;
#pragma unroll
    for (int i = 0; i < W; ++i)
      if (has(i)) {
        const std::uint16_t two = codes_of(y[k][i], factor);
        *reinterpret_cast<std::uint16_t*>(codes + 2 * (thread + i * kThreads)) = two;
        sum += std::int8_t(two & 255) + std::int8_t(two >> 8);
      }
    sum = __reduce_add_sync(~0u, sum);
    if (lane == 0) sums[k][warp] = sum;
  }
  if (r.keep)
#pragma unroll
    for (int i = 0; i < W; ++i)
      if (has(i))
        *reinterpret_cast<float2*>(b.x + std::size_t(stream) * r.a.width +
                                   2 * (thread + i * kThreads)) = {w[i].a, w[i].b};
  __syncthreads();
  if (warp > 0) return;
  const float scale = scale_of_row(squares, 1.f / float(r.columns), r.a.eps, r.twice, lane);
#pragma unroll
  for (int k = 0; k < P; ++k) {
    const int sum = __reduce_add_sync(~0u, lane < kWarps ? sums[k][lane] : 0);
    if (lane == 0)
      b.scale[k * b.rows + stream] = top[k] * scale, b.code_sum[k * b.rows + stream] = sum;
  }
}

// ---- products ----

struct ProductArguments {
  DecodeArguments a;
  Buffers b;
  DecodeStage stage;
  int columns = 0, outputs = 0;
  int multiprocessors = 0;
};

// A task is 16 rows of each matrix of the stage, M of them; a block has T tasks and 8 N sequences.
template <int kind>
constexpr int kMatrices = kind == kGates ? 3
                          : kind == kGlu ? 2
                                         : 1;

// What becomes of two neighbouring rows of each matrix, for two neighbouring sequences. All that it
// reads beside the sums is asked for before they are there.
template <int kind>
struct Epilogue {
  static constexpr int M = kMatrices<kind>, Q = kind == kGates ? kMaxInputs : 1;
  int row = 0, stream = 0;
  bool has[2]{};  // the sequences
  float2 norm{}, bound{}, state[2]{}, own[2]{};
  float scale[2][Q]{};
  int code_sum[2][Q]{};

  __device__ static float2 two(const float* from) { return *reinterpret_cast<const float2*>(from); }
  __device__ std::size_t at(const ProductArguments& p, int k) const {
    return std::size_t(stream + k) * std::size_t(p.outputs) + std::size_t(row);
  }

  // What no kernel of this token writes before this one.
  __device__ void ask_early(const ProductArguments& p, int task, int tasks, int of,
                            int first_stream) {
    row = task * kPanelOutputs + of / 4 * 2, stream = first_stream + of % 4 * 2;
#pragma unroll
    for (int k = 0; k < 2; ++k) has[k] = task < tasks && stream + k < p.b.streams;
    if (!has[0]) return;
    if constexpr (kind == kGates || kind == kOutput || kind == kDown)
      norm = two(p.stage.beside + row);
    if constexpr (kind == kGates) {
      bound = two(p.stage.beside + p.a.width + row);
#pragma unroll
      for (int k = 0; k < 2; ++k)
        if (has[k]) state[k] = two(p.stage.state[p.a.from] + at(p, k));
    }
  }
  __device__ void ask(const ProductArguments& p) {
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      if (!has[k]) continue;
      if constexpr (kind == kOutput || kind == kDown) own[k] = two(p.b.x + at(p, k));
#pragma unroll
      for (int q = 0; q < Q; ++q) {
        scale[k][q] = p.b.scale[q * p.b.rows + stream + k];
        code_sum[k][q] = p.b.code_sum[q * p.b.rows + stream + k];
      }
    }
  }
  __device__ float product(const ProductArguments& p, int k, int m, int sum) const {
    const int q = kind == kGates ? m : 0;
    return scaled(sum - code_sum[k][q], scale[k][q] * p.stage.inverse_scale[q]);
  }

  // sums[m]: of matrix m, {first row, second} of sequence k
  __device__ void leave(const ProductArguments& p, int k, const int2 (&sums)[M]) const {
    if (!has[k]) return;
    float2 of[M];
#pragma unroll
    for (int m = 0; m < M; ++m) of[m] = {product(p, k, m, sums[m].x), product(p, k, m, sums[m].y)};
    if constexpr (kind == kHead) {
      float* to = p.a.logits + at(p, k);
      if (row < p.outputs) to[0] = of[0].x;
      if (row + 1 < p.outputs) to[1] = of[0].y;
    } else {
      Left left[2];
      if constexpr (kind == kGates) {
        float2 next = state[k];
        left[0] = leave_gates(of[0].x, of[1].x, of[2].x, norm.x, bound.x, next.x);
        left[1] = leave_gates(of[0].y, of[1].y, of[2].y, norm.y, bound.y, next.y);
        *reinterpret_cast<float2*>(p.stage.state[p.a.from ^ 1] + at(p, k)) = next;
      } else if constexpr (kind == kGlu) {
        left[0] = leave_glu(of[0].x, of[1].x);
        left[1] = leave_glu(of[0].y, of[1].y);
      } else {
        left[0] = leave_sum(own[k].x, of[0].x, norm.x);
        left[1] = leave_sum(own[k].y, of[0].y, norm.y);
      }
      p.b.words[std::size_t(stream + k) * p.b.row_words + row / 2] = {
          left[0].out, left[1].out, beside_squares(left[0].beside, left[1].beside), 0};
    }
  }
};

// Groups of columns on their way to a warp, as registers allow.
template <int P, int Q, int N>
constexpr int kAhead = P* N + Q* N > 16 ? 2 : 4;

// deep: for few blocks, so that each has many registers and much on its way
template <int kind, int T, int N, bool deep>
__global__ void __launch_bounds__(kThreads)
    multiply_kernel(const __grid_constant__ ProductArguments p) {
  using Last = Epilogue<kind>;
  constexpr int M = Last::M, kItems = T * N * 32, kRounds = (kItems + kThreads - 1) / kThreads;
  extern __shared__ int4 parts[];  // (warps, T M N, 32)
  const int thread = threadIdx.x, lane = thread % 32;
  const int tasks = (p.outputs + kPanelOutputs - 1) / kPanelOutputs;
  const int first_task = blockIdx.x * T, first_stream = blockIdx.y * N * kTileRows;
  let_next_start();
  const char* panels[T * M];
#pragma unroll
  for (int k = 0; k < T * M; ++k)
    panels[k] = static_cast<const char*>(p.stage.tiles[k % M]) +
                std::size_t(min(first_task + k / M, tasks - 1)) * kPanelOutputs * p.columns / 4 +
                lane_in_panel(lane);
  const std::int8_t* rows[N];
#pragma unroll
  for (int n = 0; n < N; ++n)
    rows[n] = p.b.codes + std::size_t(first_stream + n * kTileRows + lane / 4) * p.columns +
              lane_in_row(lane);
  // item: two rows of task t and two sequences of the n-th eight
  const auto item_of = [&](int round) { return thread + round * kThreads; };
  Last last[kRounds];
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    const int item = item_of(r), n = item / 32 % N, t = item / 32 / N;
    last[r].ask_early(p, t < T ? first_task + t : tasks, tasks, item % 32,
                      first_stream + n * kTileRows);
  }
  int sums[T * M][N][4] = {};
  multiply_tiles<T * M, Last::Q, N, deep ? kAhead<T * M, Last::Q, N> : 1>(
      sums, panels, rows, std::size_t(p.b.rows) * p.columns, p.columns,
      [&] {
        wait_for_previous();
#pragma unroll
        for (int r = 0; r < kRounds; ++r) last[r].ask(p);
      },
      [](const uint4(&)[N]) {});
  store_parts(parts, sums);
  __syncthreads();
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    const int item = item_of(r), n = item / 32 % N, t = item / 32 / N;
    if (!last[r].has[0]) continue;
    int2 even[M], odd[M];  // of two neighbouring sequences
#pragma unroll
    for (int m = 0; m < M; ++m) {
      const int4 all = sum_parts<T * M, N>(parts, t * M + m, n, item % 32);
      even[m] = {all.x, all.z}, odd[m] = {all.y, all.w};
    }
    last[r].leave(p, 0, even), last[r].leave(p, 1, odd);
  }
}

// ---- launches ----

struct Launch {
  cudaLaunchConfig_t config{};
  cudaLaunchAttribute early[1]{};
  Launch(dim3 grid, std::size_t shared, bool starts_early, cudaStream_t stream) {
    config.gridDim = grid, config.blockDim = kThreads;
    config.dynamicSmemBytes = shared, config.stream = stream;
    early[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early[0].val.programmaticStreamSerializationAllowed = 1;
    config.attrs = early, config.numAttrs = starts_early;
  }
};

using QuantizeKernel = void (*)(RowsArguments);

template <int P>
QuantizeKernel quantize_kernel_for(int columns) {
  const int words = (columns / 2 + kThreads - 1) / kThreads;
  if (words <= 1) return quantize_kernel<1, P>;
  if (words <= 2) return quantize_kernel<2, P>;
  if (words <= 4) return quantize_kernel<4, P>;
  if (words <= 6) return quantize_kernel<6, P>;
  if (words <= 11) return quantize_kernel<11, P>;
  if constexpr (P == 1) {  // rows of the GLU are wider than the model
    if (words <= 14) return quantize_kernel<14, P>;
    if (words <= 28) return quantize_kernel<28, P>;
  }
  return nullptr;
}

dim3 grid_of(const ProductArguments& p, int T, int N) {
  const int tasks = (p.outputs + kPanelOutputs - 1) / kPanelOutputs, streams = N * kTileRows;
  return {unsigned((tasks + T - 1) / T), unsigned((p.b.streams + streams - 1) / streams)};
}
int blocks_of(const ProductArguments& p, int T, int N) {
  const dim3 grid = grid_of(p, T, N);
  return int(grid.x * grid.y);
}

template <int kind, int T, int N>
void launch_product(const ProductArguments& p, bool early, cudaStream_t stream) {
  constexpr int kBytes = kWarps * T * kMatrices<kind> * N * 32 * int(sizeof(int4));
  auto kernel = multiply_kernel<kind, T, N, true>;
  if constexpr (N > 1)
    if (2 * blocks_of(p, T, N) > 3 * p.multiprocessors) kernel = multiply_kernel<kind, T, N, false>;
  cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes),
             "[decode] shared memory");
  const Launch launch(grid_of(p, T, N), kBytes, early, stream);
  cuda_check(cudaLaunchKernelEx(&launch.config, kernel, p), "[decode] product");
}

// Tasks of a block. More read the sequences' codes less often; fewer use more multiprocessors.
template <int kind>
constexpr int kFewestTasks = kind == kHead  ? 4
                             : kind == kGlu ? 2
                                            : 1;
// as registers allow
template <int kind>
constexpr int kMostTasks = kind == kGates ? 1
                           : kind == kGlu ? 3
                                          : 4;

// As few as let all blocks run at once, if that is possible.
template <int kind, int T, int N>
void launch_in_one_wave(const ProductArguments& p, bool early, cudaStream_t stream) {
  if (blocks_of(p, T, N) <= p.multiprocessors)
    launch_product<kind, T, N>(p, early, stream);
  else if constexpr (T < kMostTasks<kind>)
    launch_in_one_wave<kind, T + 1, N>(p, early, stream);
  else
    launch_product<kind, kFewestTasks<kind>, N>(p, early, stream);
}

template <int kind>
void launch_product(const ProductArguments& p, bool early, cudaStream_t stream) {
  if (p.b.streams <= kTileRows)
    launch_product<kind, 1, 1>(p, early, stream);
  else if (p.b.streams <= 2 * kTileRows)
    launch_in_one_wave<kind, kFewestTasks<kind>, 2>(p, early, stream);
  else
    launch_in_one_wave<kind, kFewestTasks<kind>, 4>(p, early, stream);
}

}  // namespace

bool can_decode_rows(int width, int hidden, int streams) {
  return width % kGroupColumns == 0 && hidden % kGroupColumns == 0 && streams <= kMostStreams &&
         quantize_kernel_for<kMaxInputs>(width) && quantize_kernel_for<1>(hidden);
}

std::size_t decode_rows_bytes(int width, int hidden, int streams) {
  std::size_t bytes = 0;
  buffers_of(width, hidden, streams, nullptr, &bytes);
  return bytes;
}

DecodeGraph::DecodeGraph(const DecodeArguments& a, std::vector<DecodeStage> stages, int streams,
                         int multiprocessors, void* memory, cudaStream_t stream)
    : stages_(std::move(stages)),
      streams_(streams),
      multiprocessors_(multiprocessors),
      memory_(memory) {
  capture(a, stream);
}

DecodeGraph::~DecodeGraph() {
  for (const cudaGraphExec_t graph : graphs_)
    if (graph) cudaGraphExecDestroy(graph);
}

void DecodeGraph::quantize(const DecodeArguments& a, std::size_t stage, bool early,
                           cudaStream_t stream) const {
  const Kind kind = kind_of(stage, a.layers);
  const int columns = kind == kDown ? a.hidden : a.width;
  const RowsArguments r{.a = a,
                        .b = buffers_of(a.width, a.hidden, streams_, memory_),
                        .into = stages_[stage].into,
                        .columns = columns,
                        .embedding = stage == 0,
                        .keep = kind == kGates || kind == kGlu,
                        .beside_first = kind == kOutput,
                        .twice = kind != kDown};
  const QuantizeKernel kernel =
      kind == kGates ? quantize_kernel_for<kMaxInputs>(columns) : quantize_kernel_for<1>(columns);
  const Launch launch(dim3(unsigned(streams_)), 0, early, stream);
  cuda_check(cudaLaunchKernelEx(&launch.config, kernel, r), "[decode] codes");
}

void DecodeGraph::multiply(const DecodeArguments& a, std::size_t stage, bool early,
                           cudaStream_t stream) const {
  const Kind kind = kind_of(stage, a.layers);
  const ProductArguments p{.a = a,
                           .b = buffers_of(a.width, a.hidden, streams_, memory_),
                           .stage = stages_[stage],
                           .columns = kind == kDown ? a.hidden : a.width,
                           .outputs = kind == kHead  ? a.vocabulary
                                      : kind == kGlu ? a.hidden
                                                     : a.width,
                           .multiprocessors = multiprocessors_};
  switch (kind) {
    case kGates:
      return launch_product<kGates>(p, early, stream);
    case kOutput:
      return launch_product<kOutput>(p, early, stream);
    case kGlu:
      return launch_product<kGlu>(p, early, stream);
    case kDown:
      return launch_product<kDown>(p, early, stream);
    case kHead:
      return launch_product<kHead>(p, early, stream);
    case kKinds:
      break;
  }
}

// All but what reads the ids and what writes the logits, which are elsewhere for each token.
void DecodeGraph::capture(DecodeArguments a, cudaStream_t stream) {
  for (a.from = 0; a.from < 2; ++a.from) {
    cuda_check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
               "[decode] capture of a graph");
    multiply(a, 0, false, stream);
    for (std::size_t stage = 1; stage < stages_.size(); ++stage) {
      quantize(a, stage, true, stream);
      if (stage + 1 < stages_.size()) multiply(a, stage, true, stream);
    }
    cudaGraph_t graph = nullptr;
    cuda_check(cudaStreamEndCapture(stream, &graph), "[decode] end of a graph");
    const cudaError_t made = cudaGraphInstantiate(&graphs_[a.from], graph, 0);
    cudaGraphDestroy(graph);
    cuda_check(made, "[decode] graph");
  }
}

void DecodeGraph::launch(const DecodeArguments& a, cudaStream_t stream) const {
  quantize(a, 0, false, stream);
  cuda_check(cudaGraphLaunch(graphs_[a.from], stream), "[decode] graph");
  multiply(a, stages_.size() - 1, false, stream);
}

}  // namespace tern::cuda
