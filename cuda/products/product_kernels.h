// Operands of the library's products: int8 and f32 matrices as bf16, and matrices as 8-bit floats
// (e4m3). Behind them, plain products of any size. Of operands in bf16, counts are multiples of 8,
// pointers to bf16 and f32 multiples of 16, to int8 of 8.
#pragma once

#include "core/ternary_tiles.h"
#include "cuda/common/dispatch.h"
#include "cuda/products/blas.h"

namespace tern::cuda {

// to = t, exactly; factors (2) = {1 / scale, add ? 1 : 0}, the library's alpha and beta
struct ExpandTernary {
  bf16* to = nullptr;              // out (count)
  float* factors = nullptr;        // out (2) on the device
  const std::int8_t* t = nullptr;  // in (count)
  const float* scale = nullptr;    // in (1) on the device
  bool add = false;
};
void expand_ternary(const ExpandTernary& expand, Index count, cudaStream_t stream);

// to (O, I) = the codes that tiles hold, in {-1, 0, 1}
void unpack_tiles(std::int8_t* to, const TernaryTile* tiles, Index O, Index I, cudaStream_t stream);

// to (rows, columns) = q / row_scale, rounded once: the f32 quotient to bf16
void expand_rows(bf16* to, const std::int8_t* q, const float* row_scale, Index rows, Index columns,
                 cudaStream_t stream);

// to (count) = from, to nearest
void round_to_bf16(bf16* to, const float* from, Index count, cudaStream_t stream);
// to (count) += from, in f32, then to nearest
void add_to_bf16(bf16* to, const float* from, Index count, cudaStream_t stream);

// Rows of dy (rows, columns) as e4m3(dy r), r = 448 / max(absmax, 1e-30), and what undoes the
// scale: 1 / r, or NaN and zeros where a row is not finite. columns: a multiple of 16.
struct RoundRows {
  std::uint8_t* to = nullptr;  // out (rows, columns) e4m3
  float* factors = nullptr;    // out (rows) 1 / r
  const bf16* dy = nullptr;    // in  (rows, columns)
  Index rows = 0, columns = 0;
};
void round_rows_fp8(const RoundRows& round, cudaStream_t stream);

// to (N, O) f32 = codes, times factors (N) if not null; any size
void expand_rows_fp8(float* to, const float* factors, const Tensor& codes, cudaStream_t stream);

// to (N, O) f32 = e4m3(dy r) (1 / r), or with factors (N) codes and factors apart, 0 and NaN where
// a row is not finite; any size; dy f32 or bf16
void round_rows_through_fp8(float* to, float* factors, const Tensor& dy, cudaStream_t stream);

// The ternary weights (O, I) as e4m3, exactly and transposed, and for each of the I columns of dx
// the factor that undoes their scale. O and I: multiples of 16.
struct TransposeTernary {
  std::uint8_t* to = nullptr;      // out (I, O) e4m3; null: not needed
  float* factors = nullptr;        // out (I) 1 / scale
  const std::int8_t* t = nullptr;  // in  (O, I)
  const float* scale = nullptr;    // in  (1) on the device
  Index O = 0, I = 0;
};
// Of dw in 8-bit floats (core/kernels/product.h): g = f / row_scale of each row.
struct FoldFactors {
  float* factors = nullptr;           // out (N) g; null: not needed
  float* maxima = nullptr;            // out (kFoldParts) the largest g of a part of the rows
  const float* dy_factors = nullptr;  // in  (N) f
  const float* row_scale = nullptr;   // in  (N)
  Index N = 0;
};
// both, which depend on nothing of one another, in one launch
void prepare_fp8(const TransposeTernary& weights, const FoldFactors& fold, cudaStream_t stream);

// Those factors of some rows, to be multiplied by s, which follows from the maxima: NaN if a row is
// not finite.
struct RowFactors {
  const float* factors = nullptr;  // in (rows)
  const float* maxima = nullptr;   // in (kFoldParts)
};
// out (5) 1 / s, add ? 1 : 0, 1 / s, 1, s
struct DwScalars {
  float* to = nullptr;
  bool add = false;
};

// Rows turned to columns, with zeros behind the last row: of dy, and e4m3(q factor s). O and I:
// multiples of 16.
struct TransposeOperands {
  std::uint8_t* dy_to = nullptr;        // out (O, turned_rows(rows)) e4m3
  std::uint8_t* x_to = nullptr;         // out (I, turned_rows(rows)) e4m3
  DwScalars scalars{};                  // out
  const std::uint8_t* codes = nullptr;  // in  (rows, O) e4m3
  const std::int8_t* q = nullptr;       // in  (rows, I); null: made of x_of
  NormedRows x_of{};                    // in  of these rows, in bf16
  const float* row_scale = nullptr;     // in  (rows), beside x_of
  RowFactors factors{};                 // in
  Index rows = 0, O = 0, I = 0;
};
void transpose_operands_fp8(const TransposeOperands& transpose, cudaStream_t stream);
// to (N, I) f32 = e4m3(q factor s), NaN where the factor is; any size
void scale_inputs_fp8(float* to, const DwScalars& scalars, const Tensor& q,
                      const RowFactors& factors, cudaStream_t stream);
// The share of these codes of all rows that are below 2^-6 while their q is not 0; q as above.
void measure_underflow(double* share, const TransposeOperands& operands, cudaStream_t stream);

// Matrix products for every size and alignment, on sm_80 and later. All matrices are row-major.

// A matrix as it is stored, f32, bf16 or i8; with row_scale the value is that of row r over
// row_scale[r], rounded to bf16 if `dequantized` is that.
struct PlainMatrix {
  const void* data = nullptr;
  DType type = DType::f32;
  const float* row_scale = nullptr;  // of codes
  DType dequantized = DType::f32;
};

// c = a b / divisor, summed in f32 in the order of K
struct PlainProduct {
  ProductShape shape{};
  void* c = nullptr;               // f32 or bf16
  DType type = DType::f32;         // of c
  bool add = false;                // add to c instead of overwriting it
  const float* divisor = nullptr;  // (1) on the device; null: 1
  PlainMatrix a{}, b{};
};
void product_plain(const PlainProduct& product, cudaStream_t stream);

}  // namespace tern::cuda
