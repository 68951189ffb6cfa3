#include "core/workspace.h"

#include <algorithm>

namespace tern {
namespace {

std::size_t bytes_of(Index floats) {
  return std::size_t(floats) * sizeof(float);
}

std::size_t bytes_of_bf16(Index elements) {
  return std::size_t(elements) * 2;
}

Index rows_of(const Tensor& t) {
  return t.elements() / t.shape().last();
}

Index glu_columns(const SwigluNormQuantizeBackward& a) {  // H
  return a.a.shape().last() / (a.b ? 1 : 2);
}

Index pieces(Index n, Index piece) {
  return (n + piece - 1) / piece;
}

// Blocks that walk over N rows of D columns: as many as a multiprocessor has registers and shared
// memory for, which suffice for about so many columns, of kernels that keep much for a column and
// of those that keep less; and a block costs as much as 256 columns.
constexpr Index kShortRows = 5632, kLongRows = 12288;
Index walks(Index N, Index D, Index columns, const DeviceTraits& device) {
  const Index resident = std::max<Index>(1, columns / (D + 256));
  return std::clamp<Index>(N / 8, 1, std::max<Index>(1, resident * device.multiprocessors));
}

}  // namespace

Index column_sum_parts(const NormQuantizeBackward& a, const DeviceTraits& device) {
  return walks(rows_of(a.sum), a.sum.shape().last(), kShortRows, device);
}
Index column_sum_parts(const GatedNormQuantizeBackward& a, const DeviceTraits& device) {
  return walks(rows_of(a.g), a.g.shape().last(), kShortRows, device);
}
Index column_sum_parts(const SwigluNormQuantizeBackward& a, const DeviceTraits& device) {
  return walks(rows_of(a.a), glu_columns(a), kLongRows, device);
}
Index column_sum_parts(const RmsNormBackward& a, const DeviceTraits& device) {
  return walks(rows_of(a.x), a.x.shape().last(), kShortRows, device);
}

std::size_t workspace_bytes(const NormQuantizeBackward& a, const DeviceTraits& device) {
  const Index sums = Index(a.rows.size()) + (a.dblock_weight ? 1 : 0);
  return bytes_of(column_sum_parts(a, device) * sums * a.sum.shape().last());
}

std::size_t workspace_bytes(const GatedNormQuantizeBackward& a, const DeviceTraits& device) {
  return bytes_of(column_sum_parts(a, device) * 2 * a.g.shape().last());
}

std::size_t workspace_bytes(const SwigluNormQuantizeBackward& a, const DeviceTraits& device) {
  return bytes_of(column_sum_parts(a, device) * glu_columns(a));
}

std::size_t workspace_bytes(const RmsNormBackward& a, const DeviceTraits& device) {
  return bytes_of(column_sum_parts(a, device) * a.x.shape().last());
}

// zeros and flips of each piece, in one word
std::size_t workspace_bytes(const QuantizeTernary& a, const DeviceTraits&) {
  return a.stats ? std::size_t(a.magnitudes.elements()) * sizeof(std::uint32_t) : 0;
}

std::size_t workspace_bytes(const SquaredNorm& a, const DeviceTraits&) {
  return std::size_t(sum_pieces(a.g.elements(), kNormPiece)) * sizeof(double);
}

bool library_product(DType activations, Index O, Index I) {
  return activations == DType::bf16 && O % 8 == 0 && I % 8 == 0;
}

Index rows_expanded(Index N, Index I) {
  const Index most = (Index(256) << 20) / (2 * I) / 128 * 128;
  return std::min(N, std::max<Index>(most, 128));
}

namespace {

Index rows_of_x(const TernaryProductBackward& a) {
  return a.rows_of_dy().shape()[0];
}

}  // namespace

bool sums_parts(const TernaryProductBackward& a) {
  const Index N = rows_of_x(a), I = a.w.t.shape()[1];
  return a.dw.to.dtype() == DType::bf16 && N > rows_expanded(N, I);
}

std::size_t workspace_bytes(const Matmul& a, const DeviceTraits&) {
  const Index O = a.w.shape()[0], I = a.w.shape()[1];
  if (!library_product(a.x.dtype(), O, I)) return 0;
  const bool rounds = a.w.dtype() == DType::f32;
  return kLibraryWorkspace + kFactorBytes + (rounds ? bytes_of_bf16(O * I) : 0);
}

std::size_t workspace_bytes(const MatmulBackward& a, const DeviceTraits&) {
  const Index O = a.w.shape()[0], I = a.w.shape()[1];
  // dy may be bf16 beside an f32 x, or the other way round: then all of it by the plain kernel
  if (a.x.dtype() != a.dy.dtype() || !library_product(a.dy.dtype(), O, I)) return 0;
  const bool rounds = a.dx && a.w.dtype() == DType::f32;
  return kLibraryWorkspace + kFactorBytes + (rounds ? bytes_of_bf16(O * I) : 0);
}

bool multiplies_tiles(const TernaryProduct& a) {
  constexpr Index kMostRows = 256, kColumns = 64;
  const Index N = a.x.q.shape()[0], I = a.x.q.shape()[1];
  return a.w.t.dtype() == DType::t2 && N <= kMostRows && I % kColumns == 0;
}

// Other forward kernels multiply codes of a byte each.
std::size_t workspace_bytes(const TernaryProduct& a, const DeviceTraits&) {
  const bool unpacks = a.w.t.dtype() == DType::t2 && !multiplies_tiles(a);
  return unpacks ? std::size_t(a.w.t.elements()) : 0;
}

namespace {

bool library_takes_fp8(const TernaryProductBackward& a, const DeviceTraits& device) {
  const Index O = a.w.t.shape()[0], I = a.w.t.shape()[1];
  return device.fp8 && a.real() == DType::bf16 && O % 16 == 0 && I % 16 == 0;
}

}  // namespace

bool library_fp8_product(const TernaryProductBackward& a, const DeviceTraits& device) {
  return rounds_dx(a.backward) && library_takes_fp8(a, device) && !a.dx.add;
}

bool library_fp8_dw(const TernaryProductBackward& a, const DeviceTraits& device) {
  return rounds_dw(a.backward) && library_takes_fp8(a, device);
}

bool makes_codes(const TernaryProductBackward& a, const DeviceTraits& device) {
  return a.dw && a.x_of.sum && a.x_of.sum.dtype() == DType::bf16 && library_fp8_dw(a, device);
}

namespace {

// Pieces of memory one behind the other, each in whole 256 bytes.
struct Pieces {
  std::size_t take(std::size_t size) {
    const std::size_t at = bytes;
    bytes += (size + 255) / 256 * 256;
    return at;
  }
  std::size_t bytes = 0;
};

constexpr Index kOperandTile = 128;
constexpr Index kMostOperands = Index(256) << 20, kMostDwOperands = Index(512) << 20;  // bytes

constexpr Index kMostTiles = 65'535;  // blocks in a grid's second direction

// N rows in equal parts of whole tiles, each at most `most` bytes if a row takes `bytes`
Index rows_of_part(Index N, Index bytes, Index most) {
  const Index parts =
      std::max({Index(1), pieces(N * bytes, most), pieces(N, kMostTiles * kOperandTile)});
  return std::min(N, pieces(pieces(N, parts), kOperandTile) * kOperandTile);
}

bool has_codes(const TernaryProductBackward& a, const DeviceTraits& device) {
  return a.dy_fp8 || (a.dw && library_fp8_dw(a, device));
}

}  // namespace

Fp8DwRows fp8_dw_rows(const TernaryProductBackward& a, const DeviceTraits& device) {
  if (!a.dw || !rounds_dw(a.backward)) return {};
  check(makes_codes(a, device) || (a.x.q && a.x.q.dtype() == DType::i8),
        "[ternary_product] a dw in 8-bit floats expects x as codes, got ", a.x.q);
  const Index N = rows_of_x(a), O = a.w.t.shape()[0];
  const bool library = library_fp8_dw(a, device);
  Fp8DwRows out;
  Pieces space;
  if (library && !a.dy_fp8) out.codes = space.take(std::size_t(N * O));
  if (!library || !a.dy_fp8) out.dy_factors = space.take(bytes_of(N));
  out.factors = space.take(bytes_of(N));
  out.maxima = space.take(bytes_of(kFoldParts));
  out.scalars = space.take(bytes_of(5));
  out.bytes = space.bytes;
  return out;
}

Fp8Operands fp8_operands(const TernaryProductBackward& a, const DeviceTraits& device) {
  const Index N = rows_of_x(a), O = a.w.t.shape()[0], I = a.w.t.shape()[1];
  Fp8Operands out{.rows = rows_of_part(N, O, kMostOperands)};
  Pieces space;
  out.weights = space.take(std::size_t(I * O));
  out.column_factors = space.take(bytes_of(I));
  if (!has_codes(a, device)) {
    out.dy = space.take(std::size_t(out.rows * O));
    out.row_factors = space.take(bytes_of(out.rows));
  }
  out.bytes = space.bytes;
  return out;
}

Fp8DwOperands fp8_dw_operands(const TernaryProductBackward& a, const DeviceTraits& device) {
  const Index N = rows_of_x(a), O = a.w.t.shape()[0], I = a.w.t.shape()[1];
  Fp8DwOperands out{.rows = N};
  Pieces space;
  if (library_fp8_dw(a, device)) {
    out.rows = rows_of_part(N, O + I, kMostDwOperands);
    out.dy_transposed = space.take(std::size_t(O * turned_rows(out.rows)));
    out.x_transposed = space.take(std::size_t(I * turned_rows(out.rows)));
    if (a.dw.to.dtype() == DType::bf16 && out.rows < N) out.sums = space.take(bytes_of(O * I));
  } else {
    out.dy = space.take(bytes_of(N * O));
    out.x = space.take(bytes_of(N * I));
  }
  out.bytes = space.bytes;
  return out;
}

// dx and dw take turns
std::size_t workspace_bytes(const TernaryProductBackward& a, const DeviceTraits& device) {
  const Index N = rows_of_x(a), O = a.w.t.shape()[0], I = a.w.t.shape()[1];
  const bool library = library_product(a.real(), O, I);
  std::size_t dx = 0, dw = 0;
  if (a.dx && library_fp8_product(a, device))
    dx = fp8_operands(a, device).bytes;
  else if (a.dx && rounds_dx(a.backward))
    dx = bytes_of(N * O);
  else if (a.dx && library)
    dx = bytes_of_bf16(O * I);
  const bool expands = a.x.q && a.x.q.dtype() == DType::i8;
  if (a.dw && rounds_dw(a.backward))
    dw = fp8_dw_operands(a, device).bytes;
  else if (a.dw && library)
    dw = (expands ? bytes_of_bf16(rows_expanded(N, I) * I) : 0) +
         (sums_parts(a) ? bytes_of(O * I) : 0);
  return (library ? kLibraryWorkspace + kFactorBytes : 0) + std::max(dx, dw) +
         fp8_dw_rows(a, device).bytes;
}

Index repetition_parts(Index rows, Index columns, const DeviceTraits& device) {
  const Index blocks = 8 * Index(device.multiprocessors);  // of 32 columns each
  const Index most = std::clamp<Index>(rows / 8, 1, blocks / 2);
  return std::clamp<Index>(blocks / pieces(columns, 32), 1, most);
}

std::size_t workspace_bytes(const BinaryBackward& a, const DeviceTraits& device) {
  const Index columns = a.db ? a.db.to.elements() : 0;
  if (!columns) return 0;
  const Index parts = repetition_parts(a.dy.elements() / columns, columns, device);
  return parts > 1 ? bytes_of(parts * columns) : 0;
}

std::size_t workspace_bytes(const EmbeddingBackward& a, const DeviceTraits&) {
  const Index N = a.ids.elements(), D = a.dtable.to.shape()[1];
  const std::size_t sorted = 3 * std::size_t(pieces(N, 64) * 64) * sizeof(std::int32_t);
  return sorted + pieces(sort_bytes(N), 256) * 256 + bytes_of(2 * pieces(N, kEmbeddingPiece) * D);
}

Index scan_shared_bytes(const ScanShape& shape, Index groups, Index blocks) {
  constexpr Index kLink = 2 * sizeof(float);
  const Index stages = kScanStages * shape.tensors * shape.warps * shape.bytes * kScanChannels;
  const Index links = shape.warps * kScanChannels * kLink;
  constexpr Index kBarrier = 8;
  const Index received = blocks > 1 ? 2 * (blocks * kScanChannels * kLink + kBarrier) : 0;
  return groups * (stages + links + received + kBarrier) + kScanChannels * Index(sizeof(float));
}

// From measurements of all divisions (docs/benchmarks/h200.md). Many columns: one block with all
// groups to a multiprocessor, if these fill nine tenths of their waves and every group has four
// turns; otherwise clusters of two small blocks, so that no multiprocessor waits for another at the
// end. Few: one block with all groups to a multiprocessor, in the largest clusters that are all
// resident; of larger ones than two an eighth of the multiprocessors is left over.
ScanCut scan_cut(const Tensor& h, const ScanShape& shape, const DeviceTraits& device) {
  const Index B = h.shape()[0], T = h.shape()[1], D = h.shape()[2];
  const Index chunks = pieces(T, shape.steps(bits(h.dtype()) / 8));
  const Index columns = B * pieces(D, kScanChannels), all = device.multiprocessors;
  Index groups = shape.groups, blocks = 1;
  if (columns > all && !device.clusters) {
    groups = 2;
  } else if (columns > all) {
    if (10 * columns < 9 * all * pieces(columns, all) || chunks < 4 * groups)
      groups = 1, blocks = 2;
  } else if (device.clusters) {
    if (columns * 2 <= all) blocks = 2;
    while (blocks >= 2 && blocks < 8 && columns * blocks * 2 <= all - all / 8) blocks *= 2;
  }
  while (blocks > 1 && 2 * blocks * groups > chunks) blocks /= 2;
  while (groups > 1 && (2 * blocks * groups > chunks ||
                        scan_shared_bytes(shape, groups, blocks) > device.shared_bytes))
    --groups;
  return {.chunks = chunks, .columns = columns, .groups = groups, .blocks = blocks};
}

std::size_t workspace_bytes(const MlgruBackward& a, const DeviceTraits& device) {
  const ScanCut cut = scan_cut(a.h, kScanBackward, device);
  return a.dbound ? bytes_of(a.h.shape()[0] * cut.blocks * a.h.shape()[2]) : 0;
}

namespace {

constexpr Index kAttentionWidth = 128, kAttentionEights = 8, kAttentionSteps = 64;
constexpr Index kAttentionTile = 128;  // positions are rounded up to it
constexpr std::size_t kAttentionMargin = std::size_t(1) << 20;

// out: or its gradient, (B, T, D)
bool library_takes(const Tensor& out, Index heads, const DeviceTraits& device) {
  const Index d = out.shape()[2] / heads;
  return device.attention_library && out.dtype() == DType::bf16 && d % kAttentionEights == 0 &&
         d <= kAttentionWidth && out.shape()[1] >= kAttentionSteps;
}

// positions of a sequence, in whole tiles
Index tiled(Index T) {
  return pieces(T, kAttentionTile) * kAttentionTile;
}

std::size_t slopes_of_head(Index T) {
  return bytes_of_bf16(tiled(T) * tiled(T));
}

}  // namespace

bool library_attention(const Attention& a, const DeviceTraits& device) {
  return library_takes(a.out, a.heads, device) && a.seen == 0;
}

bool library_attention(const AttentionBackward& a, const DeviceTraits& device) {
  return library_takes(a.dout, a.heads, device) && !a.dqkv.add &&
         slopes_of_head(a.dout.shape()[1]) <= kAttentionSlopes;
}

AttentionParts attention_parts(const AttentionBackward& a) {
  const Index B = a.dout.shape()[0], T = a.dout.shape()[1];
  if (a.dout.elements() == 0) return {.sequences = 1, .heads = a.heads};
  const Index most = std::max<Index>(1, Index(kAttentionSlopes / slopes_of_head(T)));
  if (most < a.heads) return {.sequences = 1, .heads = pieces(a.heads, pieces(a.heads, most))};
  return {.sequences = pieces(B, pieces(B, most / a.heads)), .heads = a.heads};
}

bool is_few_steps(const Attention& a) {
  return a.out.shape()[1] <= kFewSteps && a.out.shape()[2] / a.heads <= kStepChannels;
}

Index key_splits(const Attention& a, const DeviceTraits& device) {
  constexpr Index kKeys = 128;  // at least of a block, four to a warp twice
  constexpr Index kBlocks = 2;  // to a multiprocessor: with more the joins cost what they win
  const Index queries = a.out.shape()[0] * a.heads * a.out.shape()[1];
  if (!a.earlier || queries == 0) return 1;
  return std::clamp<Index>(kBlocks * Index(device.multiprocessors) / queries, 1,
                           std::max<Index>(1, pieces(a.earlier.shape()[1], kKeys)));
}

std::size_t workspace_bytes(const Attention& a, const DeviceTraits& device) {
  if (!device.is_gpu()) return 0;
  if (library_attention(a, device)) return kAttentionMargin;
  const Index splits = is_few_steps(a) ? key_splits(a, device) : 1;
  const Index queries = a.out.shape()[0] * a.heads * a.out.shape()[1];
  return splits > 1 ? bytes_of(queries * splits * (a.out.shape()[2] / a.heads + 2)) : 0;
}

// What the library holds of a part: slopes, sums of rows, and for each, what it aligns. Should it
// refuse, the plain kernels' sums of rows.
std::size_t workspace_bytes(const AttentionBackward& a, const DeviceTraits& device) {
  if (!device.is_gpu()) return 0;
  const Index B = a.dout.shape()[0], T = a.dout.shape()[1];
  const std::size_t plain = bytes_of(B * a.heads * T);
  if (!library_attention(a, device)) return plain;
  const AttentionParts parts = attention_parts(a);
  const std::size_t heads = std::size_t(parts.sequences * parts.heads);
  return std::max(plain, heads * (slopes_of_head(T) + bytes_of(2 * tiled(T))) + kAttentionMargin);
}

}  // namespace tern
