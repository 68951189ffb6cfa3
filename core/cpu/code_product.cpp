#include <cstring>
#include <iterator>

#include "core/cpu/code_kernels.h"
#include "core/cpu/e4m3.h"
#include "core/cpu/parallel.h"

namespace tern::cpu {
namespace {

constexpr Index kRowsOfPanel = 1024;  // activations that share one packing of the weights
constexpr Index kDotBytes = 1 << 16;  // weights that one thread takes at a time if not packed
constexpr Index kRowsAhead = 8;       // of dy to fetch: its rows are far apart
constexpr Index kTilesOfX = 8;        // float tiles, one above the other, of a piece of dx
constexpr Index kTilesOfW = 4;        // and of dw, which has fewer rows

// Weights (O, I) of one byte each.
struct Bytes {
  static constexpr Index kDotRows = 4;  // activations up to which weights are read where they lie
  Index outputs_at_once() const { return std::max<Index>(1, kDotBytes / I); }
  static Index whole(Index outputs) { return outputs; }

  // sums (N, outputs) of the outputs from o on
  void dots(const CodeKernels& kernels, std::int32_t* sums, const std::int8_t* q, Index N, Index o,
            Index outputs) const {
    for (Index n = 0; n < N; ++n)
      kernels.integer_dots(
          {.sums = sums + n * outputs, .q = q + n * I, .t = t + o * I, .outputs = outputs, .I = I});
  }

  // (I / 4, kIntegerColumns, 4) of t + 1, for the outputs from o on; missing columns are left as
  // they were
  void pack_panel(std::uint8_t* panel, Index o, Index columns) const {
    for (Index c = 0; c < columns; ++c)
      for (Index i = 0; i < I; i += 4) {
        std::uint32_t four;
        std::memcpy(&four, t + (o + c) * I + i, 4);
        four = ((four & 0x7f7f7f7f) + 0x01010101) ^ (four & 0x80808080);  // no carry between bytes
        std::memcpy(panel + i * kIntegerColumns + 4 * c, &four, 4);
      }
  }

  const std::int8_t* t;
  Index I;
};

// The same of two bits each, in tiles; I is a multiple of kTileSide.
struct Tiles {
  static constexpr Index kDotRows = 16;
  Index outputs_at_once() const {
    return std::max<Index>(1, 4 * kDotBytes / (I * kTileSide)) * kTileSide;
  }
  static Index whole(Index outputs) { return tiles_along(outputs) * kTileSide; }

  void dots(const CodeKernels& kernels, std::int32_t* sums, const std::int8_t* q, Index N, Index o,
            Index outputs) const {
    for (Index n = 0; n < N; n += kTileDotsRows)
      kernels.tile_dots({.sums = sums + n * outputs,
                         .q = q + n * I,
                         .tiles = row(o),
                         .rows = std::min(kTileDotsRows, N - n),
                         .outputs = outputs,
                         .I = I});
  }

  void pack_panel(std::uint8_t* panel, Index o, Index columns) const {
    for (Index c = 0; c < columns; c += kTileSide)
      for (Index k = 0; k < I / kTileSide; ++k) {
        std::uint64_t words[sizeof(TernaryTile) / 8], codes[sizeof(TernaryTile) / 8];
        std::memcpy(words, row(o + c)[k].bytes, sizeof words);
#pragma GCC unroll 4
        for (Index p = 0; p < 4; ++p) {
          for (std::size_t i = 0; i < std::size(words); ++i)
            codes[i] = words[i] >> 2 * p & 0x0303'0303'0303'0303;
          std::memcpy(panel + 4 * ((4 * k + p) * kIntegerColumns + c), codes, sizeof codes);
        }
      }
  }

  const TernaryTile* row(Index o) const {
    return tiles + o / kTileSide * (I / kTileSide);
  }

  const TernaryTile* tiles;
  Index I;
};

std::vector<std::int32_t> row_sums(const std::int8_t* q, Index N, Index I) {
  std::vector<std::int32_t> sums(N);
  for_chunks(N, 64, [&](Index, Index begin, Index end) {
    for (Index n = begin; n < end; ++n) {
      std::int32_t sum = 0;
      for (Index i = 0; i < I; ++i) sum += q[n * I + i];
      sums[n] = sum;
    }
  });
  return sums;
}

// y = (sum - row_sum) / (row_scale * scale): the sums hold q . (t + 1)
struct Output {
  void write(Index n, Index o, const std::int32_t* sums, Index count) const {
    const float factor = row_scale[n] * scale;
    const std::int32_t offset = offsets[n];
    float* to = y + n * O + o;
    for (Index i = 0; i < count; ++i) to[i] = float(sums[i] - offset) / factor;
  }
  // Fetches the cache lines that write will fill while the products are still running.
  void prefetch(Index n, Index o) const {
    __builtin_prefetch(y + n * O + o, 1);
    __builtin_prefetch(y + n * O + o + 16, 1);
  }
  float* y;
  const float* row_scale;
  float scale;
  const std::int32_t* offsets;
  Index O;
};

template <class Weights>
void product_by_dots(const CodeKernels& kernels, const Output& out, const std::int8_t* q,
                     const Weights& weights, Index N) {
  const Index size = weights.outputs_at_once();
  for_chunks(out.O, size, [&](Index, Index begin, Index end) {
    const Index outputs = weights.whole(end - begin);
    std::int32_t* sums = scratch<std::int32_t, 0>(N * outputs);
    weights.dots(kernels, sums, q, N, begin, outputs);
    for (Index n = 0; n < N; ++n) out.write(n, begin, sums + n * outputs, end - begin);
  });
}

template <class Weights>
void product_by_panels(const CodeKernels& kernels, const Output& out, const std::int8_t* q,
                       const Weights& weights, Index N) {
  const Index I = weights.I, across = (out.O + kIntegerColumns - 1) / kIntegerColumns;
  const Index down = (N + kRowsOfPanel - 1) / kRowsOfPanel;
  for_chunks(across * down, 1, [&](Index work, Index, Index) {
    const Index o = work % across * kIntegerColumns, first = work / across * kRowsOfPanel;
    const Index columns = std::min(kIntegerColumns, out.O - o);
    const Index last = std::min(N, first + kRowsOfPanel);
    std::uint8_t* panel = scratch<std::uint8_t, 0>(kIntegerColumns * I);
    weights.pack_panel(panel, o, columns);
    std::int32_t sums[kIntegerRows * kIntegerColumns];
    for (Index n = first, rows; n < last; n += rows) {
      rows = last - n >= kIntegerRows ? kIntegerRows : 1;
      for (Index r = 0; r < rows; ++r) out.prefetch(n + r, o);
      kernels.integer_tile(
          {.sums = sums, .q = q + n * I, .q_stride = I, .rows = rows, .panel = panel, .I = I});
      for (Index r = 0; r < rows; ++r) out.write(n + r, o, sums + r * kIntegerColumns, columns);
    }
  });
}

// Rows [first, last) of dx = (dy / scale) . t
void backward_x(const CodeKernels& kernels, const TernaryProductBackward& a, Index first,
                Index last) {
  const Index O = a.w.t.shape()[0], I = a.x.q.shape()[1];
  const std::int8_t* t = a.w.t.data<std::int8_t>();
  const float *dy = dy_of_dx<float>(a, first, last - first), factor = 1 / *a.w.scale.data<float>();
  float *dx = a.dx.to.data<float>(),
        *packed = scratch<float, 0>(kTilesOfX * kFloatRows * kFloatRowStride);
  for (Index o = 0; o < O; o += kFloatDepth) {
    const Index depth = std::min(kFloatDepth, O - o);
    for (Index n = first; n < last; ++n)
      for (Index k = 0; k < depth; ++k)
        packed[(n - first) * kFloatRowStride + k] = dy[(n - first) * O + o + k] * factor;
    for (Index i = 0; i < I; i += kFloatColumns)
      for (Index n = first; n < last; n += kFloatRows)
        kernels.float_tile_by_row({.c = dx + n * I + i,
                                   .c_stride = I,
                                   .rows = std::min(kFloatRows, last - n),
                                   .columns = std::min(kFloatColumns, I - i),
                                   .add = a.dx.add || o > 0,
                                   .a = packed + (n - first) * kFloatRowStride,
                                   .codes = t + o * I + i,
                                   .codes_stride = I,
                                   .depth = depth});
  }
}

// dy (depth, columns) with row n divided by row_scale[n] -> (tiles, depth, kFloatRows)
void pack_by_depth(float* packed, const float* dy, const float* row_scale, Index O, Index columns,
                   Index depth) {
  for (Index k = 0; k < depth; ++k) {
    const float factor = 1 / row_scale[k], *row = dy + k * O;
    float* to = packed + k * kFloatRows;
    __builtin_prefetch(row + kRowsAhead * O);
    __builtin_prefetch(row + kRowsAhead * O + columns - 1);
    Index o = 0;
    for (; o + kFloatRows <= columns; o += kFloatRows, to += depth * kFloatRows)
      for (Index r = 0; r < kFloatRows; ++r) to[r] = row[o + r] * factor;
    for (Index r = 0; o + r < columns; ++r) to[r] = row[o + r] * factor;
  }
}

// Rows [first, last) of dw = (dy / row_scale)^T . q. Where dw is stored in bf16 they are summed in
// this thread's scratch memory and rounded once.
void backward_w(const CodeKernels& kernels, const TernaryProductBackward& a, Index first,
                Index last) {
  const Index N = a.dy.shape()[0], O = a.dy.shape()[1], I = a.x.q.shape()[1];
  const std::int8_t* q = a.x.q.data<std::int8_t>();
  const float *dy = a.dy.data<float>(), *row_scale = a.x.row_scale.data<float>();
  const bool rounds = a.dw.to.dtype() == DType::bf16;
  float *dw = rounds ? scratch<float, 2>(kTilesOfW * kFloatRows * I)
                     : a.dw.to.data<float>() + first * I,
        *packed = scratch<float, 1>(kTilesOfW * kFloatRows * kFloatDepth);
  for (Index n = 0; n < N; n += kFloatDepth) {
    const Index depth = std::min(kFloatDepth, N - n);
    pack_by_depth(packed, dy + n * O + first, row_scale + n, O, last - first, depth);
    for (Index i = 0; i < I; i += kFloatColumns)
      for (Index o = first; o < last; o += kFloatRows)
        kernels.float_tile_by_depth({.c = dw + (o - first) * I + i,
                                     .c_stride = I,
                                     .rows = std::min(kFloatRows, last - o),
                                     .columns = std::min(kFloatColumns, I - i),
                                     .add = (!rounds && a.dw.add) || n > 0,
                                     .a = packed + (o - first) * depth,
                                     .codes = q + n * I + i,
                                     .codes_stride = I,
                                     .depth = depth});
  }
  if (rounds) put(a.dw.to.data<BFloat16>() + first * I, a.dw.add, (last - first) * I, dw);
}

}  // namespace

const CodeKernels* code_kernels() {
  for (const auto kernels : {code_kernels_avx512, code_kernels_avx_vnni, code_kernels_avx2})
    if (const CodeKernels* best = kernels()) return best;
  return code_kernels_neon();
}

const CodeKernels* code_kernels_for(DType real, const Tensor& t) {
  const bool fits = t.dtype() == DType::t2 || t.shape()[1] % 16 == 0;
  return real == DType::f32 && fits ? code_kernels() : nullptr;
}

namespace {

template <class Weights>
void ternary_product(const CodeKernels& kernels, const TernaryProduct& a, const std::int8_t* q,
                     const Weights& weights) {
  const Index N = a.y.shape()[0], O = a.y.shape()[1];
  const std::vector<std::int32_t> offsets = row_sums(q, N, weights.I);
  const Output out{.y = a.y.data<float>(),
                   .row_scale = a.x.row_scale.data<float>(),
                   .scale = *a.w.scale.data<float>(),
                   .offsets = offsets.data(),
                   .O = O};
  if (N <= Weights::kDotRows)
    product_by_dots(kernels, out, q, weights, N);
  else
    product_by_panels(kernels, out, q, weights, N);
}

}  // namespace

void ternary_product(const CodeKernels& kernels, const TernaryProduct& a) {
  const Index N = a.x.q.shape()[0], I = a.x.q.shape()[1], whole = tiles_along(I) * kTileSide;
  const std::int8_t* q = a.x.q.data<std::int8_t>();
  if (a.w.t.dtype() != DType::t2)
    return ternary_product(kernels, a, q, Bytes{a.w.t.data<std::int8_t>(), I});
  std::vector<std::int8_t> padded;  // rows that fill their last tile with zeros
  if (I != whole) {
    padded.resize(std::size_t(N * whole));
    for (Index n = 0; n < N; ++n) std::copy_n(q + n * I, I, padded.data() + n * whole);
    q = padded.data();
  }
  ternary_product(kernels, a, q, Tiles{a.w.t.data<TernaryTile>(), whole});
}

void ternary_product_backward(const CodeKernels& kernels, const TernaryProductBackward& a) {
  const Index N = a.x.q.shape()[0], O = a.w.t.shape()[0];
  if (a.dx)
    for_chunks(N, kTilesOfX * kFloatRows,
               [&](Index, Index begin, Index end) { backward_x(kernels, a, begin, end); });
  if (a.dw)
    for_chunks(O, kTilesOfW * kFloatRows,
               [&](Index, Index begin, Index end) { backward_w(kernels, a, begin, end); });
}

}  // namespace tern::cpu
