// Draws a token from each row of logits, without sorting it.
#include <climits>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>

#include "cuda/backend/cuda_backend.h"
#include "cuda/common/device.cuh"

namespace tern {

using namespace cuda;

namespace {

constexpr int kThreads = 1024, kWarps = kThreads / 32;
constexpr int kDigits = 256;  // of a key, of 8 bits
constexpr int kCopies = 16;   // of the histogram: two lanes share one, so few of a warp collide

using Sum = unsigned long long;  // of weights or of ones

struct Rule {
  double temperature;
  Index top_k;
  double top_p;
};

// The last token kept in the order of rank; as it is, the last of all.
struct Cut {
  unsigned key = 0;  // ordered_bits of its logit
  int index = INT_MAX;

  __device__ bool keeps(unsigned of, int i) const { return of > key || (of == key && i <= index); }
};

// Sums by digit. 64 bits as two words, since shared memory adds no more at a time.
struct Histogram {
  unsigned low[kDigits * kCopies], high[kDigits * kCopies];

  __device__ void clear() {
    for (int i = int(threadIdx.x); i < kDigits * kCopies; i += kThreads) low[i] = high[i] = 0;
  }
  __device__ void add(unsigned digit, Sum value) {
    const int at = int(digit) * kCopies + int(threadIdx.x) % kCopies;
    const unsigned added = unsigned(value), before = atomicAdd(low + at, added);
    const unsigned carried = unsigned(value >> 32) + (before + added < before ? 1 : 0);
    if (carried) atomicAdd(high + at, carried);
  }
  __device__ Sum total(int digit) const {
    Sum sum = 0;
    for (int c = 0; c < kCopies; ++c) {
      const int at = digit * kCopies + (c + int(threadIdx.x)) % kCopies;  // another bank each lane
      sum += Sum(high[at]) << 32 | low[at];
    }
    return sum;
  }
};

using Scan = cub::BlockScan<Sum, kThreads, cub::BLOCK_SCAN_WARP_SCANS>;
using Reduce = cub::BlockReduce<Sum, kThreads>;

struct Shared {
  union {
    typename Scan::TempStorage scan;
    typename Reduce::TempStorage reduce;
  };
  union {
    Histogram histogram;
    Sum of_tile[kThreads];
  };
  Sum sum, before;
  int found;
};

// A row of logits as the threads of its block see it. All functions are called by all threads, and
// return the same to all; none needs a barrier before it.
template <class A>
struct Row {
  static constexpr int kVector = 16 / sizeof(A), kAhead = 8;  // of an SM, all of 32,768 f32 at once
  struct alignas(16) Vector {
    A x[kVector];
  };
  const A* logits;
  int columns;
  double temperature;
  Shared& shared;
  double top = 0;

  // The row in tiles of a multiple of 32, at most kThreads tokens, and so in at most kThreads tiles
  // (columns <= kMostSampled): at least a tile a warp where that is possible.
  __device__ int tile() const { return min(kThreads, (columns + kThreads - 1) / kThreads * 32); }
  __device__ float logit(int i) const { return to_float(logits[i]); }
  __device__ Sum weight(float x) const {
    return __double2ull_rn(exp((double(x) - top) / temperature) * 0x1p40);
  }

  // The largest logit or, before any, one that is not finite, the lowest index of equals, as one
  // key: ordered_bits, all ones for the latter, then the columns backwards.
  __device__ Sum largest() const {
    unsigned key = 0;
    int where = 0;
    const auto see = [&](float x, int i) {
      const unsigned now = isfinite(x) ? ordered_bits(x) : 0xffffffffu;
      if (now > key) key = now, where = i;
    };
    if (columns % kVector == 0) {
      const auto* vectors = reinterpret_cast<const Vector*>(logits);
      const int count = columns / kVector;
#pragma unroll 1
      for (int first = int(threadIdx.x); first < count; first += kThreads * kAhead) {
        Vector ahead[kAhead];
#pragma unroll
        for (int k = 0; k < kAhead; ++k)
          if (first + k * kThreads < count) ahead[k] = vectors[first + k * kThreads];
#pragma unroll
        for (int k = 0; k < kAhead; ++k)
          if (first + k * kThreads < count)
            for (int j = 0; j < kVector; ++j)
              see(to_float(ahead[k].x[j]), (first + k * kThreads) * kVector + j);
      }
    } else {
#pragma unroll 8
      for (int i = int(threadIdx.x); i < columns; i += kThreads) see(logit(i), i);
    }
    Sum best = Sum(key) << 32 | (0xffffffffu - unsigned(where));
    best = Reduce(shared.reduce).Reduce(best, [](Sum a, Sum b) { return a > b ? a : b; });
    if (threadIdx.x == 0) shared.sum = best;
    __syncthreads();
    best = shared.sum;
    __syncthreads();
    return best;
  }

  // The first token, in the order of index, at which the running sum of value(x, i) exceeds
  // at(sum of all). A warp sums a tile, a thread owns a tile's sum; then a thread owns a token of
  // the tile that was found.
  template <class Value, class At>
  __device__ int find(Value value, At at) const {
    const int size = tile(), tiles = (columns + size - 1) / size, lane = int(threadIdx.x) % 32;
    for (int t = int(threadIdx.x) / 32; t < tiles; t += kWarps) {
      const int end = min(columns, (t + 1) * size);
      Sum sum = 0;
#pragma unroll 8
      for (int i = t * size + lane; i < end; i += 32) sum += value(logit(i), i);
      for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(kAllLanes, sum, offset);
      if (lane == 0) shared.of_tile[t] = sum;
    }
    __syncthreads();
    const int thread = int(threadIdx.x);
    Sum own = thread < tiles ? shared.of_tile[thread] : 0, before, all;
    Scan(shared.scan).ExclusiveSum(own, before, all);
    const Sum wanted = at(all);
    if (before <= wanted && wanted < before + own) {
      shared.found = thread;
      shared.sum = wanted - before;
    }
    __syncthreads();
    const int i = shared.found * size + thread;
    const Sum rest = shared.sum;
    own = thread < size && i < columns ? value(logit(i), i) : 0;
    Scan(shared.scan).ExclusiveSum(own, before);
    __syncthreads();  // all have read found and sum
    if (before <= rest && rest < before + own) shared.found = i;
    __syncthreads();
    const int found = shared.found;
    __syncthreads();
    return found;
  }

  // The first token, in the order of rank among what `within` keeps, at which reached(running sum
  // of value(x), sum of all) holds: not of 0, once it does always, and at the last one. value is
  // the same for equal logits. Digit by digit, from the highest: a histogram of the keys that begin
  // as found so far; their first digit, from above, at which the sum reaches.
  template <class Value, class Reached>
  __device__ Cut select(const Cut& within, Value value, Reached reached) const {
    unsigned found = 0, known = 0;     // the key; which of its bits are
    Sum above = 0, ties = 0, all = 0;  // sums of larger keys, of those that begin as found, of all
    for (int shift = 24; shift >= 0; shift -= 8) {
      shared.histogram.clear();
      __syncthreads();
#pragma unroll 4
      for (int i = int(threadIdx.x); i < columns; i += kThreads) {
        const float x = logit(i);
        const unsigned key = ordered_bits(x);
        if (((key ^ found) & known) == 0 && within.keeps(key, i))
          shared.histogram.add(key >> shift & (kDigits - 1), value(x));
      }
      __syncthreads();
      const int digit = kDigits - 1 - int(threadIdx.x);
      const Sum own = digit >= 0 ? shared.histogram.total(digit) : 0;
      Sum before, of_pass;
      Scan(shared.scan).ExclusiveSum(own, before, of_pass);
      if (shift == 24) all = of_pass;
      before += above;
      if (reached(before + own, all) && !reached(before, all)) {
        shared.found = digit;
        shared.before = before;
        shared.sum = own;
      }
      __syncthreads();
      found |= unsigned(shared.found) << shift;
      known |= unsigned(kDigits - 1) << shift;
      above = shared.before;
      ties = shared.sum;
      __syncthreads();
    }
    return last_of_equals(within, found, ties, value,
                          [&](Sum sum) { return reached(above + sum, all); });
  }

  // The first in the order of index, of equals whose values sum to `ties`, at which reached(sum).
  template <class Value, class Reached>
  __device__ Cut last_of_equals(const Cut& within, unsigned key, Sum ties, Value value,
                                Reached reached) const {
    const unsigned bits = key >> 31 ? key ^ 0x80000000u : ~key;
    const Sum each = value(__uint_as_float(bits)), count = ties / each;
    Sum low = 1, high = count;
    while (low < high) {
      const Sum middle = (low + high) / 2;
      if (reached(middle * each))
        high = middle;
      else
        low = middle + 1;
    }
    if (low == count) return {key, key == within.key ? within.index : INT_MAX};
    const auto is_equal = [&](float x, int) { return Sum(ordered_bits(x) == key); };
    return {key, find(is_equal, [&](Sum) { return low - 1; })};
  }
};

// A block owns a row. The row is read once for its largest logit and once for the draw, the second
// time from cache, with an exp in f64 of each logit, which bounds it; top_k reads it four times
// more, top_p four times more, with an exp of each kept logit the first time. Sums are of integers:
// no order matters.
template <class A>
__global__ void __launch_bounds__(kThreads)
    draw_token(std::int32_t* ids, const A* logits, const double* uniforms, Rule rule, int columns) {
  __shared__ Shared shared;
  Row<A> row{logits + Index(blockIdx.x) * columns, columns, rule.temperature, shared};
  const auto put = [&](int id) {
    if (threadIdx.x == 0) ids[blockIdx.x] = id;
  };
  const Sum largest = row.largest();
  const int likeliest = int(0xffffffffu - unsigned(largest));
  if (unsigned(largest >> 32) == 0xffffffffu) return put(-1 - likeliest);
  if (rule.temperature <= 0) return put(likeliest);
  row.top = double(row.logit(likeliest));
  Cut cut;
  if (rule.top_k > 0 && rule.top_k < columns)
    cut = row.select(
        cut, [](float) { return Sum(1); },
        [&](Sum count, Sum) { return count >= Sum(rule.top_k); });
  const auto weight = [&](float x) { return row.weight(x); };
  if (rule.top_p < 1)
    cut = row.select(cut, weight, [&](Sum sum, Sum all) {
      return sum > 0 && double(sum) >= rule.top_p * double(all);
    });
  const double uniform = uniforms[blockIdx.x];
  put(row.find([&](float x, int i) { return cut.keeps(ordered_bits(x), i) ? row.weight(x) : 0; },
               [&](Sum all) { return min(Sum(uniform * double(all)), all - 1); }));
}

}  // namespace

void CudaBackend::run(const SampleToken& a) {
  visit_real(a.logits.dtype(), [&]<class A>() {
    const Index N = a.logits.shape()[0], V = a.logits.shape()[1];
    check(V <= kMostSampled, "[sample_token] expected at most ", kMostSampled,
          " tokens, logits is ", a.logits);
    draw_token<<<blocks_for(N, 1), kThreads, 0, stream_>>>(
        a.ids.data<std::int32_t>(), a.logits.data<A>(), a.uniforms.data<double>(),
        Rule{a.temperature, a.top_k, a.top_p}, int(V));
    launched("[sample_token]");
  });
}

}  // namespace tern
