// What a device's kernels need beside their arguments: pure functions of shapes and of the device,
// so that a plan made without the device allocates what the run will.
#pragma once

#include "core/device_traits.h"
#include "core/kernels.h"

namespace tern {

// Column sums over rows (gradients of norm weights) are taken in this many parts, each a thread
// block's rows, as many blocks as the device holds at a time. The parts are added in order: the
// bits depend on shape and device alone.
Index column_sum_parts(const NormQuantizeBackward&, const DeviceTraits&);
Index column_sum_parts(const GatedNormQuantizeBackward&, const DeviceTraits&);
Index column_sum_parts(const SwigluNormQuantizeBackward&, const DeviceTraits&);
Index column_sum_parts(const RmsNormBackward&, const DeviceTraits&);

// Whether a product with activations of this dtype is done by the vendor's library, on bf16 copies
// of what is not bf16. It needs rows of whole 16 bytes; a plain kernel does the rest.
bool library_product(DType activations, Index O, Index I);

// Whether a GPU multiplies weights at two bits as they are stored: by up to 256 rows, of a multiple
// of 64 columns. Otherwise their codes are unpacked first, to a byte each.
bool multiplies_tiles(const TernaryProduct&);
inline constexpr std::size_t kLibraryWorkspace = std::size_t(32) << 20;  // bytes, for the library
inline constexpr std::size_t kFactorBytes = 256;  // its two factors, before the bf16 copies
// Rows of x (N, I) that one part of dw is computed from: at most 256 MB of them as bf16, whole
// tiles of K.
Index rows_expanded(Index N, Index I);
// Whether the parts of dw are added in f32 workspace, since dw would be rounded for each of them.
bool sums_parts(const TernaryProductBackward&);

// Whether the library computes dx in 8-bit floats: it needs rows of whole 16 bytes
// and cannot add to dx. Else a plain kernel multiplies an f32 copy of dy, rounded the same way.
bool library_fp8_product(const TernaryProductBackward&, const DeviceTraits&);
// Its operands behind the two factors, in bytes, and how many rows of dy (N, O) it takes at a time:
// at most 256 MB of them, in equal parts; also where dy comes in 8-bit floats, as the parts decide
// last bits.
struct Fp8Operands {
  Index rows = 0;
  std::size_t weights = 0;         // (I, O) e4m3
  std::size_t column_factors = 0;  // (I) f32
  std::size_t dy = 0;              // (rows, O) e4m3, unless it comes so or dw needs it so
  std::size_t row_factors = 0;     // (rows) f32 beside it
  std::size_t bytes = 0;           // of all
};
Fp8Operands fp8_operands(const TernaryProductBackward&, const DeviceTraits&);

// Whether the library computes dw in 8-bit floats: as for dx, and it may add. Else a plain kernel
// multiplies f32 copies of the same numbers.
bool library_fp8_dw(const TernaryProductBackward&, const DeviceTraits&);
// Whether it makes x's codes again of x_of, bit for bit, where it transposes them: of bf16 alone.
bool makes_codes(const TernaryProductBackward&, const DeviceTraits&);
// Its operands behind the two factors, in bytes, some rows of dy (N, O) and x (N, I) at a time: at
// most 512 MB of both, in equal parts. (Parts cost: a sum in f32 is read and written for each.)
struct Fp8DwOperands {
  Index rows = 0;                 // of a part
  std::size_t dy_transposed = 0;  // (O, turned_rows(rows)) e4m3, for the library
  std::size_t x_transposed = 0;   // (I, turned_rows(rows)) e4m3, for the library
  std::size_t sums = 0;           // (O, I) f32, of parts of a dw in bf16
  std::size_t dy = 0;             // (N, O) f32, for the plain kernel
  std::size_t x = 0;              // (N, I) f32, for the plain kernel
  std::size_t bytes = 0;          // of all
};
Fp8DwOperands fp8_dw_operands(const TernaryProductBackward&, const DeviceTraits&);
// What a dw in 8-bit floats needs of every row, at the end of the workspace, in bytes: dy's codes,
// which a dx in 8-bit floats takes too, and the factors of x.
struct Fp8DwRows {
  std::size_t codes = 0;       // (N, O) e4m3, for the library, unless dy comes so
  std::size_t dy_factors = 0;  // (N) f32, unless the library takes those that come with dy
  std::size_t factors = 0;     // (N) f32, of the rows of x
  std::size_t maxima = 0;      // (kFoldParts) f32, of these
  std::size_t scalars = 0;     // (5) f32: the first part's alpha and beta, the others', s
  std::size_t bytes = 0;       // of all; 0: no such dw
};
inline constexpr int kFoldParts = 64;
Fp8DwRows fp8_dw_rows(const TernaryProductBackward&, const DeviceTraits&);
// of rows that were turned to columns, with zeros behind them
constexpr Index turned_rows(Index rows) {
  return (rows + 127) / 128 * 128;
}

// Whether the device's library computes attention: in bf16, without earlier positions, of heads of
// whole 16 bytes up to 128 channels, from 64 steps on. Backward it overwrites, and holds a head's
// T^2 slopes, up to 2 GB. Plain kernels do the rest.
bool library_attention(const Attention&, const DeviceTraits&);
bool library_attention(const AttentionBackward&, const DeviceTraits&);
// How much of the backward pass it computes at a time, so that the slopes take kAttentionSlopes
// bytes: some sequences; or, if one is too long for that, some heads of one, but at least one head.
inline constexpr std::size_t kAttentionSlopes = std::size_t(2) << 30;
struct AttentionParts {
  Index sequences = 1, heads = 1;
};
AttentionParts attention_parts(const AttentionBackward&);

// Few steps after many, as in generation, are computed query by query: at most kFewSteps of heads
// of at most kStepChannels. So many thread blocks share a query's keys, each of whose sums are
// joined in order; it depends on the size of the cache, not on how much of it counts.
inline constexpr Index kFewSteps = 8, kStepChannels = 256;
bool is_few_steps(const Attention&);
Index key_splits(const Attention&, const DeviceTraits&);

// Number of parts in which the gradient of a repeated operand is summed over its rows; depends on
// shape and device alone.
Index repetition_parts(Index rows, Index columns, const DeviceTraits& device);

// The scan over time works on tiles of kScanChannels channels by some steps: a group of warps on
// one at a time, while the next ones are on their way to shared memory.
struct ScanShape {
  Index warps;    // of a group
  Index groups;   // at most: that a multiprocessor has registers for
  Index bytes;    // of a channel's steps that a warp takes, of each tensor
  Index tensors;  // that are read
  constexpr Index steps(Index element_bytes) const { return warps * bytes / element_bytes; }
};
inline constexpr Index kScanChannels = 64, kScanStages = 2;  // tiles in shared memory to a group
inline constexpr ScanShape kScanForward{8, 3, 16, 2}, kScanBackward{8, 3, 16, 4};
// How (B, T, D) is divided. A cluster of `blocks` blocks walks along a column, all steps of one
// sequence's kScanChannels channels, in turns of as many chunks as it has blocks; its blocks'
// `groups` groups take the turns by turns.
struct ScanCut {
  Index chunks;   // of a sequence: tiles along time
  Index columns;  // of all sequences: tiles across channels
  Index groups, blocks;
};
ScanCut scan_cut(const Tensor& h, const ScanShape&, const DeviceTraits&);
// of a block, in shared memory
Index scan_shared_bytes(const ScanShape&, Index groups, Index blocks);
inline constexpr Index kSequentialSteps = 4;  // so few are walked by one thread a channel

// Embedding gradients: sorted rows are summed in pieces of this many.
inline constexpr Index kEmbeddingPiece = 128;
// What sorting N pairs of 32-bit numbers takes beside them: a copy, counters.
constexpr std::size_t sort_bytes(Index N) {
  return std::size_t(N) * 9 + (1 << 16);
}

// Bytes of workspace of one run of a kernel; no other kernel needs any.
std::size_t workspace_bytes(const NormQuantizeBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const GatedNormQuantizeBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const SwigluNormQuantizeBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const RmsNormBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const BinaryBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const EmbeddingBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const MlgruBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const Attention&, const DeviceTraits&);
std::size_t workspace_bytes(const AttentionBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const Matmul&, const DeviceTraits&);
std::size_t workspace_bytes(const MatmulBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const TernaryProduct&, const DeviceTraits&);
std::size_t workspace_bytes(const TernaryProductBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const QuantizeTernary&, const DeviceTraits&);
std::size_t workspace_bytes(const SquaredNorm&, const DeviceTraits&);
template <class Kernel>
std::size_t workspace_bytes(const Kernel&, const DeviceTraits&) {
  return 0;
}

}  // namespace tern
