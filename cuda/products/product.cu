// Which kernel computes a product: int8 forward, the library for bf16, plain kernels for the rest.
#include "cuda/backend/cuda_backend.h"
#include "cuda/products/blas.h"
#include "cuda/products/product_kernels.h"
#include "cuda/products/ternary_product.cuh"

namespace tern {

using namespace cuda;

namespace {

// dw = dy^T x needs dy (N, O) as (O, N)
ProductShape shape_of_dw(Index N, Index O, Index I) {
  return {.M = O, .N = I, .K = N, .transpose_a = true};
}
ProductShape shape_of_dx(Index N, Index O, Index I) {
  return {.M = N, .N = I, .K = O};
}

PlainMatrix plain(const Tensor& t) {
  return {.data = t.raw(), .type = t.dtype()};
}

void by_plain_kernel(const Grad& c, const ProductShape& shape, const PlainMatrix& a,
                     const PlainMatrix& b, cudaStream_t stream, const float* divisor = nullptr) {
  product_plain({.shape = shape,
                 .c = c.to.raw(),
                 .type = c.to.dtype(),
                 .add = c.add,
                 .divisor = divisor,
                 .a = a,
                 .b = b},
                stream);
}

// The library, its stream, and the workspace: the library's own part, two factors, bf16 copies.
struct Library {
  template <class T>
  T* at_byte(std::size_t offset) const {
    return reinterpret_cast<T*>(space.data<std::int8_t>() + offset);
  }
  float* factors() const { return at_byte<float>(kLibraryWorkspace); }
  bf16* copy() const { return at_byte<bf16>(kCopies); }
  static constexpr std::size_t kCopies = kLibraryWorkspace + kFactorBytes;

  // m, or m rounded to bf16 in the workspace
  const bf16* as_bf16(const Tensor& m) const {
    if (m.dtype() == DType::bf16) return m.data<bf16>();
    round_to_bf16(copy(), m.data<float>(), m.elements(), stream);
    return copy();
  }
  void multiply(const Grad& c, const ProductShape& shape, const bf16* a, const bf16* b,
                const float* device_factors = nullptr) const {
    multiply(c.to.raw(), c.to.dtype(), c.add, shape, a, b, device_factors);
  }
  void multiply(void* c, DType type, bool add, const ProductShape& shape, const bf16* a,
                const bf16* b, const float* device_factors = nullptr) const {
    blas.run({.key = {.shape = shape,
                      .type = type,
                      .add = add,
                      .device_factors = device_factors != nullptr},
              .c = c,
              .a = a,
              .b = b,
              .factors = device_factors,
              .workspace = space.raw()},
             stream);
  }
  Blas& blas;
  const DeviceTraits& traits;
  const Tensor& space;
  cudaStream_t stream;
};

// dx = dy (t / scale): t is exact in bf16, 1 / scale is one of the factors
void backward_x(const TernaryProductBackward& a, const Library& library) {
  const auto [N, O] = dims<2>(a.rows_of_dy(), "[ternary_product] dy (N, O)");
  const Index I = a.w.t.shape()[1];
  expand_ternary({.to = library.copy(),
                  .factors = library.factors(),
                  .t = a.w.t.data<std::int8_t>(),
                  .scale = a.w.scale.data<float>(),
                  .add = a.dx.add},
                 O * I, library.stream);
  library.multiply(a.dx, shape_of_dx(N, O, I), a.dy.data<bf16>(), library.copy(),
                   library.factors());
}

// The weights as dx in 8-bit floats takes them.
TransposeTernary turned_weights(const TernaryProductBackward& a, const Library& library) {
  const Fp8Operands at = fp8_operands(a, library.traits);
  return {.to = library.at_byte<std::uint8_t>(Library::kCopies + at.weights),
          .factors = library.at_byte<float>(Library::kCopies + at.column_factors),
          .t = a.w.t.data<std::int8_t>(),
          .scale = a.w.scale.data<float>(),
          .O = a.w.t.shape()[0],
          .I = a.w.t.shape()[1]};
}

// The same with dy rounded to 8-bit floats, in which t is exact too: some rows of dy at a time,
// rounded here unless dy comes so.
void backward_x_fp8(const TernaryProductBackward& a, const TransposeTernary& weights,
                    const Library& library) {
  const auto [N, O] = dims<2>(a.rows_of_dy(), "[ternary_product] dy (N, O)");
  const Fp8Operands at = fp8_operands(a, library.traits);
  auto* dy = library.at_byte<std::uint8_t>(Library::kCopies + at.dy);
  auto* row_factors = library.at_byte<float>(Library::kCopies + at.row_factors);
  for (Index n = 0; n < N; n += at.rows) {
    const Index rows = std::min(at.rows, N - n);
    if (a.dy_fp8) {
      dy = static_cast<std::uint8_t*>(a.dy_fp8.codes.raw()) + n * O;
      row_factors = a.dy_fp8.factors.data<float>() + n;
    } else {
      round_rows_fp8({.to = dy,
                      .factors = row_factors,
                      .dy = a.dy.data<bf16>() + n * O,
                      .rows = rows,
                      .columns = O},
                     library.stream);
    }
    library.blas.run({.key = {.shape = {.M = rows, .N = weights.I, .K = O, .transpose_b = true},
                              .type = a.dx.to.dtype(),
                              .operands = OperandKind::scaled_fp8},
                      .c = a.dx.to.slice(n, rows).raw(),
                      .a = dy,
                      .b = weights.to,
                      .row_scales = row_factors,
                      .column_scales = weights.factors,
                      .workspace = library.space.raw()},
                     library.stream);
  }
}

// Rows of dy as round_rows_through_fp8 gives them, or out of its codes.
void rows_through_fp8(float* to, float* factors, const TernaryProductBackward& a,
                      cudaStream_t stream) {
  if (a.dy) return round_rows_through_fp8(to, factors, a.dy, stream);
  expand_rows_fp8(to, factors ? nullptr : a.dy_fp8.factors.data<float>(), a.dy_fp8.codes, stream);
  if (factors)
    cuda_check(cudaMemcpyAsync(factors, a.dy_fp8.factors.raw(), a.dy_fp8.factors.bytes(),
                               cudaMemcpyDeviceToDevice, stream),
               "[ternary_product] factors");
}

// dx by the plain kernel from an f32 copy of dy, rounded
void backward_x_rounded(const TernaryProductBackward& a, float* copy, cudaStream_t stream) {
  const auto [N, O] = dims<2>(a.rows_of_dy(), "[ternary_product] dy (N, O)");
  rows_through_fp8(copy, nullptr, a, stream);
  by_plain_kernel(a.dx, shape_of_dx(N, O, a.w.t.shape()[1]), {.data = copy, .type = DType::f32},
                  plain(a.w.t), stream, a.w.scale.data<float>());
}

// Rows of the quotients q / row_scale, rounded to bf16: x itself, or made of its codes.
const bf16* dequantized(const Quantized& x, Index first, Index rows, const Library& library) {
  const Index I = x.q.shape()[1];
  if (x.q.dtype() == DType::bf16) return x.q.data<bf16>() + first * I;
  expand_rows(library.copy(), x.q.data<std::int8_t>() + first * I,
              x.row_scale.data<float>() + first, rows, I, library.stream);
  return library.copy();
}

// dw = dy^T (q / row_scale), so many rows at a time. Quotients that need no copy are cut the same
// way, since that decides the last bits. Parts of a dw in bf16 are added in f32 behind the copies
// and rounded once.
void backward_w(const TernaryProductBackward& a, const Library& library) {
  const auto [N, O] = dims<2>(a.rows_of_dy(), "[ternary_product] dy (N, O)");
  const Index I = a.x.q.shape()[1], most = rows_expanded(N, I);
  const bool sums = sums_parts(a), copies = a.x.q.dtype() == DType::i8;
  auto* const sum = library.at_byte<float>(Library::kCopies + (copies ? most * I * 2 : 0));
  for (Index n = 0; n < N; n += most) {
    const Index rows = std::min(most, N - n);
    const ProductShape shape = shape_of_dw(rows, O, I);
    const bf16 *dy = a.dy.data<bf16>() + n * O, *x = dequantized(a.x, n, rows, library);
    if (sums)
      library.multiply(sum, DType::f32, n > 0, shape, dy, x);
    else
      library.multiply({.to = a.dw.to, .add = a.dw.add || n > 0}, shape, dy, x);
  }
  if (!sums) return;
  (a.dw.add ? add_to_bf16 : round_to_bf16)(a.dw.to.data<bf16>(), sum, O * I, library.stream);
}

// What a dw in 8-bit floats needs of every row, at the end of the workspace.
struct DwRows {
  DwRows(const TernaryProductBackward& a, const Fp8DwRows& at, const Tensor& space) {
    if (at.bytes == 0) return;
    auto* const first = space.data<std::int8_t>() + (space.bytes() - at.bytes);
    codes = reinterpret_cast<std::uint8_t*>(first + at.codes);
    dy_factors = reinterpret_cast<float*>(first + at.dy_factors);
    fold = {.factors = reinterpret_cast<float*>(first + at.factors),
            .maxima = reinterpret_cast<float*>(first + at.maxima),
            .dy_factors = a.dy_fp8 ? a.dy_fp8.factors.data<float>() : dy_factors,
            .row_scale = a.x.row_scale.data<float>(),
            .N = a.rows_of_dy().shape()[0]};
    scalars = reinterpret_cast<float*>(first + at.scalars);
  }
  RowFactors factors(Index first) const { return {fold.factors + first, fold.maxima}; }

  std::uint8_t* codes = nullptr;
  float* dy_factors = nullptr;
  FoldFactors fold{};
  float* scalars = nullptr;
};

// dw = dy^T x in 8-bit floats, both operands transposed, so many rows at a time. dy comes as codes.
void backward_w_fp8(const TernaryProductBackward& a, const DwRows& of, const Library& library) {
  const auto [N, O] = dims<2>(a.rows_of_dy(), "[ternary_product] dy (N, O)");
  const Index I = a.w.t.shape()[1];
  const Fp8DwOperands at = fp8_dw_operands(a, library.traits);
  auto* const sum = library.at_byte<float>(Library::kCopies + at.sums);
  const bool sums = at.sums != 0;
  const auto operands = [&](Index n, Index rows) {
    const auto slice = [&](const Tensor& t) { return t ? t.slice(n, rows) : Tensor{}; };
    return TransposeOperands{
        .dy_to = library.at_byte<std::uint8_t>(Library::kCopies + at.dy_transposed),
        .x_to = library.at_byte<std::uint8_t>(Library::kCopies + at.x_transposed),
        .scalars = {.to = of.scalars, .add = !sums && a.dw.add},
        .codes = static_cast<const std::uint8_t*>(a.dy_fp8.codes.raw()) + n * O,
        .q = a.x.q ? a.x.q.data<std::int8_t>() + n * I : nullptr,
        .x_of = {.sum = slice(a.x_of.sum),
                 .gate = slice(a.x_of.gate),
                 .rstd = slice(a.x_of.rstd),
                 .block = a.x_of.block,
                 .weight = a.x_of.weight},
        .row_scale = a.x.row_scale.data<float>() + n,
        .factors = of.factors(n),
        .rows = rows,
        .O = O,
        .I = I};
  };
  if (a.underflow) measure_underflow(a.underflow.data<double>(), operands(0, N), library.stream);
  for (Index n = 0; n < N; n += at.rows) {
    const TransposeOperands turned = operands(n, std::min(at.rows, N - n));
    transpose_operands_fp8(turned, library.stream);
    library.blas.run(
        {.key = {.shape = {.M = O, .N = I, .K = turned_rows(turned.rows), .transpose_b = true},
                 .type = sums ? DType::f32 : a.dw.to.dtype(),
                 .add = n > 0 || (!sums && a.dw.add),
                 .device_factors = true,
                 .operands = OperandKind::fp8},
         .c = sums ? static_cast<void*>(sum) : a.dw.to.raw(),
         .a = turned.dy_to,
         .b = turned.x_to,
         .factors = of.scalars + (n > 0 ? 2 : 0),
         .workspace = library.space.raw()},
        library.stream);
  }
  if (!sums) return;
  (a.dw.add ? add_to_bf16 : round_to_bf16)(a.dw.to.data<bf16>(), sum, O * I, library.stream);
}

// The same by the plain kernel, of f32 copies.
void backward_w_rounded(const TernaryProductBackward& a, const DwRows& of, const Fp8DwOperands& at,
                        void* space, cudaStream_t stream) {
  const auto [N, O] = dims<2>(a.rows_of_dy(), "[ternary_product] dy (N, O)");
  const Index I = a.x.q.shape()[1];
  auto *const dy = reinterpret_cast<float*>(static_cast<std::byte*>(space) + at.dy),
              *const x = reinterpret_cast<float*>(static_cast<std::byte*>(space) + at.x);
  rows_through_fp8(dy, of.dy_factors, a, stream);
  prepare_fp8({}, of.fold, stream);
  if (a.underflow)
    measure_underflow(a.underflow.data<double>(),
                      {.q = a.x.q.data<std::int8_t>(), .factors = of.factors(0), .rows = N, .I = I},
                      stream);
  scale_inputs_fp8(x, {.to = of.scalars}, a.x.q, of.factors(0), stream);
  by_plain_kernel(a.dw, shape_of_dw(N, O, I), {.data = dy, .type = DType::f32},
                  {.data = x, .type = DType::f32}, stream, of.scalars + 4);
}

}  // namespace

void CudaBackend::run(const TernaryProduct& a) {
  const Tensor unpacked = workspace(a);
  const auto* t = static_cast<const std::int8_t*>((unpacked ? unpacked : a.w.t).raw());
  if (unpacked)
    unpack_tiles(unpacked.data<std::int8_t>(), a.w.t.data<TernaryTile>(), a.w.t.shape()[0],
                 a.w.t.shape()[1], stream_);
  visit_real(a.y.dtype(), [&]<class A>() {
    const IntegerProduct<A> product{.y = a.y.data<A>(),
                                    .q = a.x.q.data<std::int8_t>(),
                                    .row_scale = a.x.row_scale.data<float>(),
                                    .t = t,
                                    .scale = a.w.scale.data<float>(),
                                    .N = int(a.y.shape()[0]),
                                    .O = int(a.y.shape()[1]),
                                    .I = int(a.x.q.shape()[1])};
    if (multiplies_tiles(a))
      ternary_product_tiles(product, stream_);
    else if (hopper_ && hopper_product_fits(product))
      ternary_product_hopper(product, traits_.multiprocessors, stream_);
    else
      ternary_product_plain(product, stream_);
  });
}

void CudaBackend::run(const TernaryProductBackward& given) {
  TernaryProductBackward a = given;
  const auto [N, O] = dims<2>(a.rows_of_dy(), "[ternary_product] dy (N, O)");
  const Index I = a.w.t.shape()[1];
  const Tensor space = workspace(a);
  const bool by_library = library_product(a.real(), O, I);
  const bool dx_by_fp8 = a.dx && library_fp8_product(a, traits_);
  const bool dw_by_fp8 = a.dw && library_fp8_dw(a, traits_);
  const Library library{*blas_, traits_, space, stream_};
  DwRows rows(a, fp8_dw_rows(a, traits_), space);
  if (dw_by_fp8 && !a.dy_fp8) {
    a.dy_fp8 = {.codes = Tensor::borrow(*this, {N, O}, DType::e4m3, rows.codes),
                .factors = Tensor::borrow(*this, {N}, DType::f32, rows.dy_factors)};
    round_rows_fp8({.to = rows.codes,
                    .factors = rows.dy_factors,
                    .dy = a.dy.data<bf16>(),
                    .rows = N,
                    .columns = O},
                   stream_);
  }
  const TransposeTernary weights = dx_by_fp8 ? turned_weights(a, library) : TransposeTernary{};
  if (dx_by_fp8 || dw_by_fp8) prepare_fp8(weights, dw_by_fp8 ? rows.fold : FoldFactors{}, stream_);
  if (dx_by_fp8)
    backward_x_fp8(a, weights, library);
  else if (a.dx && rounds_dx(a.backward))
    backward_x_rounded(a, library.at_byte<float>(by_library ? Library::kCopies : 0), stream_);
  else if (a.dx && by_library)
    backward_x(a, library);
  else if (a.dx)
    by_plain_kernel(a.dx, shape_of_dx(N, O, I), plain(a.dy), plain(a.w.t), stream_,
                    a.w.scale.data<float>());
  const PlainMatrix x = a.x.q ? PlainMatrix{.data = a.x.q.raw(),
                                            .type = a.x.q.dtype(),
                                            .row_scale = a.x.row_scale.data<float>(),
                                            .dequantized = a.real()}
                              : PlainMatrix{};
  if (dw_by_fp8)
    backward_w_fp8(a, rows, library);
  else if (a.dw && rounds_dw(a.backward))
    backward_w_rounded(a, rows, fp8_dw_operands(a, traits_),
                       library.at_byte<std::byte>(by_library ? Library::kCopies : 0), stream_);
  else if (a.dw && by_library)
    backward_w(a, library);
  else if (a.dw)
    by_plain_kernel(a.dw, shape_of_dw(N, O, I), plain(a.dy), x, stream_);
}

void CudaBackend::run(const Matmul& a) {
  const auto [N, O] = dims<2>(a.y, "[matmul] y (N, O)");
  const ProductShape shape{.M = N, .N = O, .K = a.x.shape()[1], .transpose_b = true};
  if (const Tensor space = workspace(a)) {
    const Library library{*blas_, traits_, space, stream_};
    library.multiply({.to = a.y}, shape, a.x.data<bf16>(), library.as_bf16(a.w));
  } else {
    by_plain_kernel({.to = a.y}, shape, plain(a.x), plain(a.w), stream_);
  }
}

void CudaBackend::run(const MatmulBackward& a) {
  const auto [N, O] = dims<2>(a.dy, "[matmul] dy (N, O)");
  const Index I = a.w.shape()[1];
  if (const Tensor space = workspace(a)) {
    const Library library{*blas_, traits_, space, stream_};
    const bf16* dy = a.dy.data<bf16>();
    if (a.dx) library.multiply(a.dx, shape_of_dx(N, O, I), dy, library.as_bf16(a.w));
    if (a.dw) library.multiply(a.dw, shape_of_dw(N, O, I), dy, a.x.data<bf16>());
  } else {
    if (a.dx) by_plain_kernel(a.dx, shape_of_dx(N, O, I), plain(a.dy), plain(a.w), stream_);
    if (a.dw) by_plain_kernel(a.dw, shape_of_dw(N, O, I), plain(a.dy), plain(a.x), stream_);
  }
}

}  // namespace tern
