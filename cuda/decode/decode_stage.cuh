// A stage of the decode kernel as its blocks and warps divide it: shapes, shared memory, the warp
// that copies tiles, those that sum, and the products. (sm_90a)
#pragma once

#include <cstdint>

#include "cuda/common/cluster.cuh"
#include "cuda/decode/decode_words.cuh"

namespace tern::cuda::decode {

inline constexpr int kCopyWarp = kWarps, kSumWarp = kWarps + 1, kCodeWarp = kWarps + 2;
inline constexpr int kAllThreads = kThreads + 96;
inline constexpr int kUnit = 512;  // bytes that a warp reads at once: 8 tiles
inline constexpr int kUnitColumns = 128;
inline constexpr int kPanelRows = 16;
inline constexpr int kPanelWords = 8;  // of an exchanged vector: two rows each
inline constexpr int kMaxPanels = 64;  // of one product in a block
inline constexpr int kMaxSlots = 64;
inline constexpr int kInFlight = 2;  // slots that are being filled at most

using hopper::Address;
using hopper::shared_address;

__device__ inline void copy_bulk(Address to, const void* from, unsigned bytes, Address barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(to),
      "l"(from), "r"(bytes), "r"(barrier)
      : "memory");
}

// The barriers of a stage: of the computing warps, and of those that read what they left there.
enum Barrier : int { kReceived = 1, kQuantized, kMultiplied };
template <Barrier at>
__device__ inline void sync() {
  constexpr int kCount = kThreads + (at == kMultiplied ? 64 : 32);
  asm volatile("bar.sync %0, %1;" ::"n"(int(at)), "n"(kCount) : "memory");
}

// Of a matrix, 16 rows are a panel: its tiles lie one after the other. A task is the panels of the
// same rows of all matrices of a stage; tasks are dealt to the blocks. A panel comes to shared
// memory in pieces, one in a slot of the ring, and so does a row of norms' weights. A unit, 8
// tiles, is what a warp reads at once.
struct StageShape {
  int inputs, rows;         // of what is quantised: columns, and rows
  int panels;               // of a task
  int tasks;                // all blocks'
  int whole, rest;          // tasks / blocks, tasks % blocks
  int units, pieces, size;  // of a panel: units, pieces in the ring, units of a piece at most
  int norm_pieces;          // in the ring, of a row of the norms' weights
  int most;                 // panels between two barriers
  int inverse_size, inverse_pieces;  // 65536 / n, rounded up
  float inverse_inputs;
};

struct Layout {
  StageShape stage[kKinds];
  int slots, slot_bytes;
  int rows, codes, x, ring;  // offsets in bytes
  int bytes;
};

// A stage as this block sees it.
struct alignas(16) StageRow {
  DecodeStage of;
  int first, tasks;  // of this block: the first task, and how many
  int slot;          // of its first piece, of a norm
  unsigned phase;
};

struct Shared {
  unsigned long long full[kMaxSlots], empty[kMaxSlots];
  int sums[2][kMaxPanels * kPanelRows];
  alignas(16) float2 squares[kThreads];
  float top[kMaxInputs][kWarps];
  int code_sum[kMaxInputs];
  float scale[kMaxInputs];  // of what products with input p leave
};

__device__ inline void fill_row(StageRow& row, const DecodeArguments& a, const Layout& layout,
                                int stage) {
  const int kind = stage == 4 * a.layers ? kHead : stage & 3;
  const StageShape& s = layout.stage[kind];
  int offset =
      stage / 4 *
      (layout.stage[0].rest + layout.stage[1].rest + layout.stage[2].rest + layout.stage[3].rest);
  for (int k = 0; k < (stage & 3); ++k) offset += layout.stage[k].rest;
  const int blocks = gridDim.x;
  const int j = int(blockIdx.x) - offset % blocks;
  row.of = a.stages[stage];
  row.first = j < 0 ? j + blocks : j;
  row.tasks = s.whole + (row.first < s.rest);
  row.slot = s.rows * s.norm_pieces + row.tasks * s.panels * s.pieces;
}

// from pieces of each stage to where it begins
__device__ inline void place_rows(StageRow* rows, int stages, int slots) {
  const int lane = threadIdx.x % 32;
  int before = 0;
#pragma unroll 1
  for (int first = 0; first < stages; first += 32) {
    const int stage = first + lane;
    const int pieces = stage < stages ? rows[stage].slot : 0;
    int sum = pieces;
#pragma unroll
    for (int o = 1; o < 32; o *= 2) {
      const int other = __shfl_up_sync(~0u, sum, o);
      if (lane >= o) sum += other;
    }
    const int at = before + sum - pieces;
    if (stage < stages) rows[stage].slot = at % slots, rows[stage].phase = at / slots & 1;
    before += __shfl_sync(~0u, sum, 31);
  }
}

// ---- the copying warp ----

__device__ inline void copy_weights(const DecodeArguments& a, const Layout& layout, Shared& s,
                                    char* memory) {
  const auto* rows = reinterpret_cast<const StageRow*>(memory + layout.rows);
  int slot = 0, before = -kInFlight;  // this one, and the one that must be full first
  unsigned phase = 1;
  const auto copy = [&](const void* from, int bytes) {
    hopper::wait_barrier(shared_address(&s.empty[slot]), phase);
    if (before >= 0)
      hopper::wait_barrier(shared_address(&s.full[before]), before < slot ? phase ^ 1 : phase);
    if (++before == layout.slots) before = 0;
    const Address full = shared_address(&s.full[slot]);
    hopper::arrive_and_expect(full, unsigned(bytes));
    copy_bulk(shared_address(memory + layout.ring + slot * layout.slot_bytes), from,
              unsigned(bytes), full);
    if (++slot == layout.slots) slot = 0, phase ^= 1;
  };
#pragma unroll 1
  for (int stage = 0; stage <= 4 * a.layers; ++stage) {
    const StageRow& row = rows[stage];
    const StageShape& shape = layout.stage[stage == 4 * a.layers ? kHead : stage & 3];
    const int norm_bytes = shape.inputs * int(sizeof(float));
#pragma unroll 1
    for (int k = 0; k < shape.rows; ++k)
#pragma unroll 1
      for (int at = 0; at < norm_bytes; at += layout.slot_bytes)
        copy(reinterpret_cast<const char*>(row.of.into + k * shape.inputs) + at,
             min(layout.slot_bytes, norm_bytes - at));
    int j = row.first;
#pragma unroll 1
    for (int n = row.tasks; n > 0; --n, j += gridDim.x)
#pragma unroll 1
      for (int m = 0; m < shape.panels; ++m) {
        const char* from =
            static_cast<const char*>(row.of.tiles[m]) + std::size_t(j) * shape.units * kUnit;
#pragma unroll 1
        for (int u = 0; u < shape.units; u += shape.size)
          copy(from + u * kUnit, min(shape.size, shape.units - u) * kUnit);
      }
  }
}

// The copying warp may fill these slots again.
__device__ inline void free_slots(Shared& s, const Layout& layout, int first, int count, int lane) {
#pragma unroll 1
  for (int i = lane; i < count; i += 32) {
    const int at = first + i;
    hopper::arrive(shared_address(&s.empty[at < layout.slots ? at : at - layout.slots]));
  }
}

// ---- the two warps that sum ----

// scale[p] = top[p] r / (127 weight scale); twice: see scale_of_row
__device__ inline void sum_squares(Shared& s, const StageShape& shape, const StageRow& row,
                                   float eps, bool twice, int lane) {
  float top[kMaxInputs];
#pragma unroll
  for (int p = 0; p < kMaxInputs; ++p) top[p] = top_of_row(s.top[p], lane);
  const float r = scale_of_row(s.squares, shape.inverse_inputs, eps, twice, lane);
#pragma unroll
  for (int p = 0; p < kMaxInputs; ++p)
    if (lane == p && p < shape.rows) s.scale[p] = top[p] * r * row.of.inverse_scale[p];
  __syncwarp();
}

__device__ inline void sum_codes(Shared& s, const std::int8_t* codes, const StageShape& shape,
                                 int lane) {
#pragma unroll 1
  for (int p = 0; p < shape.rows; ++p, codes += shape.inputs) {
    int total = 0;
#pragma unroll 2
    for (int i = lane; i < shape.inputs / 16; i += 32) {
      const int4 q = *reinterpret_cast<const int4*>(codes + i * 16);
      total = __dp4a(q.x, 0x01010101, total), total = __dp4a(q.y, 0x01010101, total);
      total = __dp4a(q.z, 0x01010101, total), total = __dp4a(q.w, 0x01010101, total);
    }
    total = __reduce_add_sync(~0u, total);
    if (lane == 0) s.code_sum[p] = total;
    __syncwarp();
  }
}

// ---- products ----

// What a warp multiplies between two barriers: so many units, from a unit of a piece on. The last
// piece of a panel counts like the others, even if it is smaller.
struct Share {
  int units, piece, unit;
  int slot;
  unsigned phase;
};

// of n panels that begin in this slot
__device__ inline Share share_of(const StageShape& shape, int slots, int slot, unsigned phase,
                                 int n, int warp) {
  const int all = n * shape.pieces * shape.size;
  const int begin = warp * all / kWarps, end = (warp + 1) * all / kWarps;
  const int piece = begin * shape.inverse_size >> 16;
  Share s{.units = end - begin,
          .piece = piece,
          .unit = begin - piece * shape.size,
          .slot = slot + piece,
          .phase = phase};
  if (s.slot >= slots) s.slot -= slots, s.phase ^= 1;
  return s;
}

__device__ inline int dot4(unsigned codes, unsigned q, int sum) {
  int d;
  asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(codes), "r"(q), "r"(sum));
  return d;
}

// sums[panel][row] += 64 sum of (w + 1) q of this warp's share. Panel k reads row k % rows of the
// codes. A lane has four rows of one of eight tiles; the codes' two bits stay where they are.
__device__ inline void multiply_share(Shared& s, int* sums, const std::int8_t* codes,
                                      const char* ring, const Layout& layout,
                                      const StageShape& shape, Share at, int first, int lane) {
  ring += lane * 16;
  codes += lane / 4 * 16;
  while (at.units > 0) {
    const int of_first = at.piece * shape.inverse_pieces >> 16;
    const int before = (at.piece - of_first * shape.pieces) * shape.size + at.unit;
    const int panel = first + of_first;
    const int input = shape.rows > 1 ? panel - 3 * (panel * 86 >> 8) : 0;
    const char* tiles = ring + at.slot * layout.slot_bytes + at.unit * kUnit;
    const std::int8_t* q = codes + input * shape.inputs + before * kUnitColumns;
    const int in_piece = min(at.units, shape.size - at.unit);
    const char* end = tiles + min(in_piece, shape.units - before) * kUnit;
    int a[4][4] = {};
    hopper::wait_barrier(shared_address(&s.full[at.slot]), at.phase);
#pragma unroll 2
    for (; tiles < end; tiles += kUnit, q += kUnitColumns) {
      const uint4 w = *reinterpret_cast<const uint4*>(tiles);
      const uint4 x = *reinterpret_cast<const uint4*>(q);
      const unsigned row[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        a[r][0] = dot4(row[r] & 0x03030303u, x.x, a[r][0]);
        a[r][1] = dot4(row[r] & 0x0c0c0c0cu, x.y, a[r][1]);
        a[r][2] = dot4(row[r] & 0x30303030u, x.z, a[r][2]);
        a[r][3] = dot4(row[r] & 0xc0c0c0c0u, x.w, a[r][3]);
      }
    }
    int t[4];
#pragma unroll
    for (int r = 0; r < 4; ++r) t[r] = ((a[r][0] * 4 + a[r][1]) * 4 + a[r][2]) * 4 + a[r][3];
    const bool high = lane & 16,
               odd = lane & 8;  // of eight lanes with the same rows, each sums one
    int k0 = high ? t[2] : t[0], k1 = high ? t[3] : t[1];
    k0 += __shfl_xor_sync(~0u, high ? t[0] : t[2], 16);
    k1 += __shfl_xor_sync(~0u, high ? t[1] : t[3], 16);
    int k = odd ? k1 : k0;
    k += __shfl_xor_sync(~0u, odd ? k0 : k1, 8);
    k += __shfl_xor_sync(~0u, k, 4);
    if (!(lane & 4)) atomicAdd(sums + panel * kPanelRows + lane % 4 * 4 + high * 2 + odd, k);
    __syncwarp();
    at.units -= in_piece, at.unit = 0, ++at.piece;
    if (++at.slot == layout.slots) at.slot = 0, at.phase ^= 1;
  }
}

}  // namespace tern::cuda::decode
