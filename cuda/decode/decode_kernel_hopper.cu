// Blocks share every product: its panels of 16 rows are dealt to them. What one product leaves,
// every block needs whole: blocks write it as words that carry the number of their step, and read
// those of all others until that number is there. So a word is its own flag, and no barrier or
// fence is needed. A copying warp brings tiles and the weights of norms to shared memory as far
// ahead as there is room, two more warps sum what only scales need. Few warps compute, and the code
// of a stage is written for it alone: a stage is so short that the instructions which every warp
// needs for itself would take most of its time.
//
// All that a block reads comes through one port, in the order in which it was asked for. What is
// needed now must not wait for what is needed later, so few copies are under way at a time, and a
// thread that looks for words a second time asks for the missing ones only.
#include <algorithm>

#include "cuda/common/check.h"
#include "cuda/decode/decode_stage.cuh"

namespace tern::cuda {

using namespace decode;

namespace {

struct Stamp {
  long long* to;
  int at = 0;
  __device__ void operator()() {
#ifdef TERN_DECODE_TIMES
    if (to && blockIdx.x == 5 && threadIdx.x == 0) to[at++] = clock64();
#endif
  }
};

// What a computing thread knows.
struct Place {
  Shared& s;
  std::int8_t* codes;
  float* x;
  const char* ring;
  const ExchangeWord* received;  // this thread's first
  int warp, lane, thread;
};

// The weights of a stage's norms, which come in front of its tiles, from this slot on. all: of the
// last word of W, whether this warp has it.
template <int W, int P>
__device__ inline void read_norms(const Place& p, const Layout& layout, const StageShape& shape,
                                  int slot, unsigned phase, bool all, float2 (&y)[P][W]) {
#pragma unroll 1
  for (int k = 0; k < P * shape.norm_pieces; ++k) {
    const bool over = slot + k >= layout.slots;
    hopper::wait_barrier(shared_address(&p.s.full[over ? slot + k - layout.slots : slot + k]),
                         phase ^ over);
  }
  const int end = layout.slots * layout.slot_bytes;
#pragma unroll
  for (int k = 0; k < P; ++k) {
    int first = slot + k * shape.norm_pieces;
    if (first >= layout.slots) first -= layout.slots;
    first = first * layout.slot_bytes + p.thread * int(sizeof(float2));
#pragma unroll
    for (int i = 0; i < W; ++i) {
      const int at = first + i * kThreads * int(sizeof(float2));
      y[k][i] = {0, 0};
      if (i + 1 < W || all)
        y[k][i] = *reinterpret_cast<const float2*>(p.ring + (at < end ? at : at - end));
    }
  }
}

// Reads a row, which comes with the number of this step or, the first of a token, is the
// embedding's; leaves the codes of its products with P rows of weights. W: words for a thread, the
// last of them perhaps only for the first warps.
template <int W, int P>
__device__ inline void receive(const Place& p, const DecodeArguments& a, const Layout& layout,
                               const StageShape& shape, const StageRow& now, unsigned step,
                               bool keep, bool beside_first, bool embedding, Stamp& stamp) {
  const bool all = (W - 1) * kThreads + p.warp * 32 < shape.inputs / 2;  // of a warp alike
  const auto has = [&](int i) { return i + 1 < W || all; };
  float2 y[P][W];
  read_norms(p, layout, shape, now.slot, now.phase, all, y);
  ExchangeWord w[W];
  stamp();
  if (embedding) {
#pragma unroll 1
    for (int i = 0; i < W; ++i) {
      const int word = p.thread + i * kThreads;
      ExchangeWord made{0, 0, 0, step};
      if (word < shape.inputs / 2) made = embedded(a, max(*a.id, 0), word, step);
#pragma unroll
      for (int k = 0; k < W; ++k)
        if (k == i) w[k] = made;
    }
  } else {
#pragma unroll
    for (int i = 0; i < W; ++i) w[i] = {0, 0, 0, has(i) ? step - 1 : step};
    bool ready;
    do {
#pragma unroll
      for (int i = 0; i < W; ++i)
        if (w[i].step != step) w[i] = load_word(p.received + i * kThreads);
      ready = true;
#pragma unroll
      for (int i = 0; i < W; ++i) ready = ready && w[i].step == step;
    } while (!__all_sync(~0u, ready));
  }
  stamp();
  const RowPart<W, P> part = weigh(w, y);
  // of o's input the first norm is that of g, whose squares came beside
  p.s.squares[p.thread] =
      beside_first ? float2{part.beside, part.squares} : float2{part.squares, part.beside};
#pragma unroll
  for (int k = 0; k < P; ++k) {
    const float top = top_of_warp(part.top[k]);
    if (p.lane == 0) p.s.top[k][p.warp] = top;
  }
  __syncwarp();
  stamp();
  sync<kReceived>();
  stamp();
  float factor[P];
#pragma unroll
  for (int k = 0; k < P; ++k) factor[k] = code_factor(top_of_row(p.s.top[k], p.lane));
#pragma unroll
  for (int i = 0; i < W; ++i)
    if (has(i)) {
#pragma unroll
      for (int k = 0; k < P; ++k)
        *reinterpret_cast<std::uint16_t*>(p.codes + k * shape.inputs +
                                          2 * (p.thread + i * kThreads)) =
            codes_of(y[k][i], factor[k]);
      if (keep) *reinterpret_cast<float2*>(p.x + 2 * (p.thread + i * kThreads)) = {w[i].a, w[i].b};
    }
  stamp();
}

// One stage, by all warps but the copying one. D, H: words for a thread of rows of the model's
// width and of the GLU's.
template <int kind, int D, int H>
__device__ __forceinline__ void run_stage(const DecodeArguments& a, const Layout& layout, Shared& s,
                                          char* memory, bool begins, unsigned step, int stage,
                                          Stamp& stamp) {
  const int thread = threadIdx.x, warp = __shfl_sync(~0u, thread / 32, 0), lane = thread % 32;
  const auto* rows = reinterpret_cast<const StageRow*>(memory + layout.rows);
  auto* codes = reinterpret_cast<std::int8_t*>(memory + layout.codes);
  auto* x = reinterpret_cast<float*>(memory + layout.x);
  auto* exchange = static_cast<ExchangeWord*>(a.exchange);
  const int half = max(a.width, a.hidden) / 2;
  const int task = thread / 16, row = lane % 16;  // which of the block's tasks, in epilogues
  const StageShape& shape = layout.stage[kind];
  const StageRow& now = rows[stage];
  int* sums = s.sums[stage & 1];
  const int tasks = now.tasks;
  const bool mine = task < tasks;
  const int j = now.first + task * int(gridDim.x);
  const int out_row = j * kPanelRows + row;
  const int panels = tasks * shape.panels;
  const int norms = shape.rows * shape.norm_pieces;
  int slot = now.slot + norms, done = 0;  // of the products
  unsigned phase = now.phase;
  if (slot >= layout.slots) slot -= layout.slots, phase ^= 1;
  Share share = share_of(shape, layout.slots, slot, phase, min(shape.most, panels), warp);
  float* state = now.of.state[a.from ^ 1] + out_row;
  const float* own = x + out_row;
  ExchangeWord* send = exchange + ((step + 1) & 1) * half + j * kPanelWords + row / 2;
  float first = 0, second = 0, third = 0;  // what the epilogue needs of its row
  if (warp < kWarps) {
    if (mine && kind != kGlu && kind != kHead) {
      first = now.of.beside[out_row];
      if (kind == kGates)
        second = now.of.state[a.from][out_row], third = now.of.beside[shape.inputs + out_row];
    }
    const Place place{
        s,    codes, x,     memory + layout.ring, exchange + (step & 1) * half + thread,
        warp, lane,  thread};
    if (kind == kGates)
      receive<D, 3>(place, a, layout, shape, now, step, true, false, begins, stamp);
    else if (kind == kDown)
      receive<H, 1>(place, a, layout, shape, now, step, false, false, false, stamp);
    else
      receive<D, 1>(place, a, layout, shape, now, step, kind == kGlu, kind == kOutput, false,
                    stamp);

      // the next stage's sums: last read before this stage's first meeting
#pragma unroll
    for (int i = 0; i < kMaxPanels * kPanelRows / 4 / kThreads; ++i)
      reinterpret_cast<int4*>(s.sums[stage & 1 ^ 1])[thread + i * kThreads] = {};
    sync<kQuantized>();
    stamp();
  } else if (warp == kSumWarp) {
    sync<kReceived>();
    stamp();
    sum_squares(s, shape, now, a.eps, kind != kDown, lane);
    stamp();
  } else {
    sync<kQuantized>();
    stamp();
    free_slots(s, layout, now.slot, norms, lane);
    sum_codes(s, codes, shape, lane);
    stamp();
  }
#pragma unroll 1
  while (true) {
    const int n = min(shape.most, panels - done);
    if (warp < kWarps)
      multiply_share(s, sums, codes, memory + layout.ring, layout, shape, share, done, lane);
    if (!done) stamp();
    sync<kMultiplied>();
    if (!done) stamp();
    const int used = n * shape.pieces;
    if (warp == kCodeWarp) free_slots(s, layout, slot, used, lane);
    slot += used, done += n;
    if (slot >= layout.slots) slot -= layout.slots, phase ^= 1;
    if (done >= panels) break;
    share = share_of(shape, layout.slots, slot, phase, min(shape.most, panels - done), warp);
  }
  const auto product = [&](int panel, int input) {
    return scaled((sums[panel * kPanelRows + row] >> 6) - s.code_sum[input], s.scale[input]);
  };
  if (kind == kHead) {
    if (warp < kWarps)
#pragma unroll 1
      for (int k = task, o = out_row; k < tasks; k += kThreads / 16, o += kThreads * int(gridDim.x))
        if (o < a.vocabulary) a.logits[o] = product(k, 0);
  } else if (warp * 2 < tasks && warp < kWarps) {
    Left left{};
    if (mine) {
      if (kind == kGates) {
        left = leave_gates(product(3 * task, 0), product(3 * task + 1, 1), product(3 * task + 2, 2),
                           first, third, second);
        *state = second;
      } else if (kind == kGlu) {
        left = leave_glu(product(2 * task, 0), product(2 * task + 1, 0));
      } else {
        left = leave_sum(*own, product(task, 0), first);
      }
    }
    const float next = __shfl_down_sync(~0u, left.out, 1),
                more = __shfl_down_sync(~0u, left.beside, 1);
    if (mine && lane % 2 == 0)
      store_word(send, {left.out, next, beside_squares(left.beside, more), step + 1});
  }
  if (warp < kWarps) stamp();
}

template <int D, int H>
__device__ void compute(const DecodeArguments& a, const Layout& layout, Shared& s, char* memory) {
  Stamp stamp{a.times};
  unsigned step = a.step;
  int stage = 0;
#pragma unroll 1
  for (int l = 0; l < a.layers; ++l) {
    run_stage<kGates, D, H>(a, layout, s, memory, l == 0, step++, stage++, stamp);
    run_stage<kOutput, D, H>(a, layout, s, memory, false, step++, stage++, stamp);
    run_stage<kGlu, D, H>(a, layout, s, memory, false, step++, stage++, stamp);
    run_stage<kDown, D, H>(a, layout, s, memory, false, step++, stage++, stamp);
  }
  run_stage<kHead, D, H>(a, layout, s, memory, false, step, stage, stamp);
}

template <int D, int H>
__global__ void __launch_bounds__(kAllThreads, 1)
    decode_kernel(const __grid_constant__ DecodeArguments a,
                  const __grid_constant__ Layout layout) {
  extern __shared__ __align__(128) char memory[];
  Shared& s = *reinterpret_cast<Shared*>(memory);
  auto* rows = reinterpret_cast<StageRow*>(memory + layout.rows);
  const int thread = threadIdx.x, stages = 4 * a.layers + 1;
  if (thread == 0) {
#pragma unroll 1
    for (int i = 0; i < layout.slots; ++i) {
      hopper::init_barrier(shared_address(&s.full[i]), 1);
      hopper::init_barrier(shared_address(&s.empty[i]), 1);
    }
    hopper::publish_barriers();
  }
#pragma unroll 1
  for (int i = thread; i < stages; i += kAllThreads) fill_row(rows[i], a, layout, i);
#pragma unroll 1
  for (int i = thread; i < kMaxPanels * kPanelRows; i += kAllThreads) s.sums[0][i] = 0;
  __syncthreads();
  if (thread < 32) place_rows(rows, stages, layout.slots);
  __syncthreads();
  if (thread / 32 != kCopyWarp)
    compute<D, H>(a, layout, s, memory);
  else if (thread % 32 == 0)
    copy_weights(a, layout, s, memory);
}

constexpr int kMostShared = 227 << 10;

Layout layout_of(int width, int hidden, int layers, int vocabulary, int blocks) {
  const auto up = [](int bytes) { return (bytes + 127) / 128 * 128; };
  Layout l{};
  const int slot_units = width / kUnitColumns;
  l.slot_bytes = slot_units * kUnit;
  l.rows = up(sizeof(Shared));
  l.codes = up(l.rows + (4 * layers + 1) * int(sizeof(StageRow)));
  l.x = up(l.codes + std::max(3 * width, hidden));
  l.ring = up(l.x + 4 * width);
  l.slots = std::min(kMaxSlots, std::max(0, kMostShared - l.ring) / l.slot_bytes);
  l.bytes = l.ring + l.slots * l.slot_bytes;
  const auto stage = [&](Kind kind, int inputs, int rows, int panels, int outputs) {
    StageShape& s = l.stage[kind];
    s.inputs = inputs, s.rows = rows, s.panels = panels;
    s.tasks = (outputs + kPanelRows - 1) / kPanelRows;
    s.whole = s.tasks / blocks, s.rest = s.tasks % blocks;
    s.units = inputs / kUnitColumns;
    s.pieces = (s.units + slot_units - 1) / slot_units;
    s.size = (s.units + s.pieces - 1) / s.pieces;
    s.most = std::max(1, l.slots / 2 / s.pieces);
    s.inverse_size = (65535 + s.size) / s.size;
    s.inverse_pieces = (65535 + s.pieces) / s.pieces;
    s.norm_pieces = (inputs * int(sizeof(float)) + l.slot_bytes - 1) / l.slot_bytes;
    s.inverse_inputs = 1.f / float(inputs);
  };
  stage(kGates, width, 3, 3, width);
  stage(kOutput, width, 1, 1, width);
  stage(kGlu, width, 1, 2, hidden);
  stage(kDown, hidden, 1, 1, width);
  stage(kHead, width, 1, 1, vocabulary);
  return l;
}

constexpr int words_of(int columns) {
  return (columns / 2 + kThreads - 1) / kThreads;
}

using Kernel = void (*)(DecodeArguments, Layout);

template <int width, int hidden>
Kernel kernel_for(int D, int H) {
  constexpr int d = words_of(width), h = words_of(hidden);
  return words_of(D) == d && words_of(H) == h ? decode_kernel<d, h> : nullptr;
}

// The published sizes, and widths of tests.
Kernel find_kernel(int D, int H) {
  for (const Kernel kernel :
       {kernel_for<256, 768>(D, H), kernel_for<512, 1536>(D, H), kernel_for<1024, 2816>(D, H),
        kernel_for<2048, 5632>(D, H), kernel_for<2560, 6912>(D, H)})
    if (kernel) return kernel;
  return nullptr;
}

}  // namespace

bool can_decode(int width, int hidden, int layers, int vocabulary, int multiprocessors) {
  if (width % 256 || hidden % 256 || !find_kernel(width, hidden)) return false;
  const Layout l = layout_of(width, hidden, layers, vocabulary, multiprocessors);
  const StageShape &glu = l.stage[kGlu], &down = l.stage[kDown], &head = l.stage[kHead];
  constexpr int kTasks = kThreads / kPanelRows;  // that one pass of the last part takes
  return l.slots >= 2 * down.pieces + down.norm_pieces && l.slots > kInFlight &&
         glu.whole < kTasks && 2 * (glu.whole + 1) <= kMaxPanels && head.whole + 1 <= kMaxPanels;
}

std::size_t decode_exchange_bytes(int width, int hidden) {
  return sizeof(ExchangeWord) * std::size_t(std::max(width, hidden));
}

void launch_decode(const DecodeArguments& a, int blocks, cudaStream_t stream) {
  const Kernel kernel = find_kernel(a.width, a.hidden);
  const Layout layout = layout_of(a.width, a.hidden, a.layers, a.vocabulary, blocks);
  cuda_check(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, layout.bytes),
      "[decode] shared memory");
  cudaLaunchConfig_t config{};
  config.gridDim = blocks, config.blockDim = kAllThreads;
  config.dynamicSmemBytes = layout.bytes, config.stream = stream;
  cudaLaunchAttribute together[1];  // every block waits for every other
  together[0].id = cudaLaunchAttributeCooperative;
  together[0].val.cooperative = 1;
  config.attrs = together, config.numAttrs = 1;
  cuda_check(cudaLaunchKernelEx(&config, kernel, a, layout), "[decode]");
}

}  // namespace tern::cuda
