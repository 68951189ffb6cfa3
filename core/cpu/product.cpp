// Matrix products over fixed tiles, each one Eigen call on one thread into aligned scratch memory.
#include <atomic>
#include <vector>

#include "core/cpu/code_kernels.h"
#include "core/cpu/cpu_backend.h"
#include "core/cpu/e4m3.h"
#include "core/cpu/functions.h"
#include "core/cpu/parallel.h"

namespace tern {

using namespace cpu;

namespace {

constexpr Index kTile = 256;     // rows and columns of one tile of the result
constexpr Index kTileOfW = 128;  // rows of one tile of dw, which often has few
constexpr Index kDepth = 512;    // rows of an operand expanded to real numbers at a time

// A row-major matrix that hands out blocks of rows as real numbers, whatever it is made of.
template <class R>
struct RealRows {
  ConstRows<R> rows(Index first, Index count, R*) const {
    return {data + first * columns, count, columns, Eigen::OuterStride<>(columns)};
  }
  const R* data;
  Index columns;
};

// bf16, which f32 holds exactly
struct HalfRows {
  ConstRows<float> rows(Index first, Index count, float* space) const {
    const BFloat16* from = data + first * columns;
    for (Index i = 0; i < count * columns; ++i) space[i] = to_real(from[i]);
    return {space, count, columns, Eigen::OuterStride<>(columns)};
  }
  const BFloat16* data;
  Index columns;
};

// int8 codes; with a scale per row, row n is divided by row_scale[n]
template <class R>
struct CodeRows {
  ConstRows<R> rows(Index first, Index count, R* space) const {
    for (Index r = 0; r < count; ++r) {
      const std::int8_t* from = data + (first + r) * columns;
      R* to = space + r * columns;
      if (row_scale)
        for (Index i = 0; i < columns; ++i) to[i] = R(from[i]) / row_scale[first + r];
      else
        for (Index i = 0; i < columns; ++i) to[i] = R(from[i]);
    }
    return {space, count, columns, Eigen::OuterStride<>(columns)};
  }
  const std::int8_t* data;
  Index columns;
  const R* row_scale = nullptr;
};

// codes of two bits in tiles
template <class R>
struct TileRows {
  ConstRows<R> rows(Index first, Index count, R* space) const {
    std::int8_t* codes = scratch<std::int8_t, 3>(count * columns);
    unpack_tiles(codes, tiles, first, count, columns);
    return CodeRows<R>{codes, columns}.rows(0, count, space);
  }
  const TernaryTile* tiles;
  Index columns;
};

// y (N, O) = x (N, I) w (O, I)^T; store(tile, n, o) takes each finished tile
template <class R, class X, class W, class Store>
void product(const X& x, const W& w, Index N, Index O, Store&& store) {
  const Index across = (O + kTile - 1) / kTile, down = (N + kTile - 1) / kTile;
  for_chunks(down * across, 1, [&](Index work, Index, Index) {
    const Index n = work / across * kTile, o = work % across * kTile;
    const auto a = x.rows(n, std::min(kTile, N - n), scratch<R, 0>(kTile * x.columns));
    const auto b = w.rows(o, std::min(kTile, O - o), scratch<R, 1>(kTile * w.columns));
    Rows<R> tile(scratch<R, 2>(kTile * kTile), a.rows(), b.rows(), Eigen::OuterStride<>(b.rows()));
    tile.noalias() = a * b.transpose();
    store(tile, n, o);
  });
}

// dx (N, I) = factor * dy (N, O) w (O, I); dy_rows(first, count) hands out rows of dy
template <class R, class Dy, class W>
void product_backward_x(const Grad& dx, const Dy& dy_rows, const W& w, Index N, Index O, R factor) {
  const Index I = w.columns;
  R* to = dx.to.data<R>();
  for_chunks(N, kTile, [&](Index, Index begin, Index end) {
    const Index n = end - begin;
    const R* rows = dy_rows(begin, n);
    Rows<R> tile(scratch<R, 2>(kTile * I), n, I, Eigen::OuterStride<>(I));
    for (Index o = 0; o < O; o += kDepth) {
      const auto b = w.rows(o, std::min(kDepth, O - o), scratch<R, 1>(kDepth * I));
      const ConstRows<R> a(rows + o, n, b.rows(), Eigen::OuterStride<>(O));
      if (o == 0)
        tile.noalias() = a * b;
      else
        tile.noalias() += a * b;
    }
    for (Index i = 0; i < n * I; ++i)
      to[begin * I + i] = (dx.add ? to[begin * I + i] : 0) + tile.data()[i] * factor;
  });
}

// dy (N, O), of which product_backward_w takes some rows and columns at a time
template <class R>
struct RealGradient {
  ConstRows<R> block(Index n, Index rows, Index o, Index columns, R*) const {
    return {data + n * O + o, rows, columns, Eigen::OuterStride<>(O)};
  }
  const R* data;
  Index O;
};

// dw (O, I) = dy (N, O)^T x (N, I)
template <class R, class Dy, class X>
void product_backward_w(const Grad& dw, const Dy& dy, const X& x, Index N, Index O) {
  const Index I = x.columns;
  for_chunks(O, kTileOfW, [&](Index, Index begin, Index end) {
    Rows<R> tile(scratch<R, 2>(kTileOfW * I), end - begin, I, Eigen::OuterStride<>(I));
    for (Index n = 0; n < N; n += kDepth) {
      const Index rows = std::min(kDepth, N - n);
      const auto b = x.rows(n, rows, scratch<R, 1>(kDepth * I));
      const auto a = dy.block(n, rows, begin, end - begin, scratch<R, 0>(kDepth * kTileOfW));
      if (n == 0)
        tile.noalias() = a.transpose() * b;
      else
        tile.noalias() += a.transpose() * b;
    }
    visit_stored<R>(dw.to,
                    [&](auto* to) { put(to + begin * I, dw.add, tile.size(), tile.data()); });
  });
}

}  // namespace

void CpuBackend::run(const Matmul& a) {
  visit_real(a.y.dtype(), [&]<class R>() {
    const Index N = a.y.shape()[0], O = a.y.shape()[1], I = a.x.shape()[1];
    R* y = a.y.data<R>();
    const RealRows<R> x{a.x.data<R>(), I};
    const auto store = [&](const Rows<R>& tile, Index n, Index o) {
      Rows<R>(y + n * O + o, tile.rows(), tile.cols(), Eigen::OuterStride<>(O)) = tile;
    };
    if constexpr (std::is_same_v<R, float>)
      if (a.w.dtype() == DType::bf16)
        return product<R>(x, HalfRows{a.w.data<BFloat16>(), I}, N, O, store);
    product<R>(x, RealRows<R>{a.w.data<R>(), I}, N, O, store);
  });
}

void CpuBackend::run(const MatmulBackward& a) {
  visit_real(a.dy.dtype(), [&]<class R>() {
    const Index N = a.dy.shape()[0], O = a.dy.shape()[1];
    const R* dy = a.dy.data<R>();
    const auto dy_rows = [&](Index first, Index) { return dy + first * O; };
    if (a.dx)
      product_backward_x(a.dx, dy_rows, RealRows<R>{a.w.data<R>(), a.w.shape()[1]}, N, O, R(1));
    if (a.dw)
      product_backward_w<R>(a.dw, RealGradient<R>{dy, O},
                            RealRows<R>{a.x.data<R>(), a.x.shape()[1]}, N, O);
  });
}

void CpuBackend::run(const TernaryProduct& a) {
  if (const CodeKernels* kernels = code_kernels_for(a.y.dtype(), a.w.t))
    return ternary_product(*kernels, a);
  visit_real(a.y.dtype(), [&]<class R>() {
    const Index N = a.y.shape()[0], O = a.y.shape()[1], I = a.x.q.shape()[1];
    R* y = a.y.data<R>();
    const R *row_scale = a.x.row_scale.data<R>(), scale = *a.w.scale.data<R>();
    const CodeRows<R> x{a.x.q.data<std::int8_t>(), I};
    const auto store = [&](const Rows<R>& tile, Index n, Index o) {
      for (Index r = 0; r < tile.rows(); ++r) {
        const R factor = row_scale[n + r] * scale;
        for (Index i = 0; i < tile.cols(); ++i) y[(n + r) * O + o + i] = tile(r, i) / factor;
      }
    };
    if (a.w.t.dtype() == DType::t2)
      product<R>(x, TileRows<R>{a.w.t.data<TernaryTile>(), I}, N, O, store);
    else
      product<R>(x, CodeRows<R>{a.w.t.data<std::int8_t>(), I}, N, O, store);
  });
}

namespace {

// The largest power of two with 127 s max(top, 1e-30) <= 448.
template <class R>
R power_for(R top) {
  int exponent = 0;
  const R mantissa = std::frexp(std::max(top, R(1e-30)), &exponent);  // in [1/2, 1)
  return std::ldexp(R(1), (127 * mantissa <= 112 ? 2 : 1) - exponent);
}

// dy in 8-bit floats: codes times factors, rounded where they are asked for
template <class R>
struct Fp8Gradient {
  explicit Fp8Gradient(const TernaryProductBackward& a)
      : dy(data_or_null<R>(a.dy)),
        codes(data_or_null<E4m3>(a.dy_fp8.codes)),
        N(a.rows_of_dy().shape()[0]),
        O(a.w.t.shape()[0]) {
    if (codes) {
      const R* from = a.dy_fp8.factors.template data<R>();
      factors.assign(from, from + N);
      return;
    }
    scales.resize(std::size_t(N)), factors.resize(std::size_t(N));
    for_chunks(N, 16, [&](Index, Index begin, Index end) {
      for (Index n = begin; n < end; ++n) {
        scales[n] = e4m3_scale(dy + n * O, O);
        factors[n] = 1 / scales[n];
      }
    });
  }
  ConstRows<R> block(Index n, Index rows, Index o, Index columns, R* space) const {
    for (Index r = 0; r < rows; ++r) {
      R* to = space + r * columns;
      const Index at = (n + r) * O + o;
      if (codes)
        values_of(to, codes + at, columns);
      else
        round_to_e4m3(to, dy + at, columns, scales[n + r]);
    }
    return {space, rows, columns, Eigen::OuterStride<>(columns)};
  }

  const R* dy;
  const E4m3* codes;
  Index N, O;
  std::vector<R> scales, factors;  // scales only of dy
};

// x' (N, I) with dw = codes^T x', of the factors of dy's rows: core/kernels/product.h, p / s
template <class R>
struct Fp8Inputs {
  Fp8Inputs(const Quantized& x, const std::vector<R>& factors_of_dy)
      : q(x.q.data<std::int8_t>()), columns(x.q.shape()[1]), factors(factors_of_dy) {
    R top = 0;
    for (std::size_t n = 0; n < factors.size(); ++n) {
      factors[n] /= x.row_scale.data<R>()[n];
      top = std::isnan(factors[n]) ? factors[n] : std::max(top, factors[n]);
      if (std::isnan(top)) break;
    }
    s = std::isnan(top) ? top : power_for(top);
  }
  void codes(R* to, Index n) const {
    const R factor = factors[n] * s;
    if (std::isnan(factor)) return void(std::fill_n(to, columns, factor));
    const std::int8_t* from = q + n * columns;
#pragma omp simd
    for (Index i = 0; i < columns; ++i) to[i] = round_e4m3(R(from[i]) * factor);
  }
  ConstRows<R> rows(Index first, Index count, R* space) const {
    for (Index r = 0; r < count; ++r) codes(space + r * columns, first + r);
    for (Index i = 0; i < count * columns; ++i) space[i] /= s;
    return {space, count, columns, Eigen::OuterStride<>(columns)};
  }
  double underflow() const {
    if (std::isnan(s)) return 0;
    std::atomic<Index> all = 0;
    const Index N = Index(factors.size());
    for_chunks(N, 16, [&](Index, Index begin, Index end) {
      R* const row = scratch<R, 0>(columns);
      Index small = 0;
      for (Index n = begin; n < end; ++n) {
        codes(row, n);
        for (Index i = 0; i < columns; ++i)
          small += q[n * columns + i] != 0 && std::abs(row[i]) < R(0x1p-6);
      }
      all += small;
    });
    return double(all) / double(N * columns);
  }

  const std::int8_t* q;
  Index columns;
  std::vector<R> factors;  // of dy over those of x
  R s;
};

template <class R>
void product_backward_w_fp8(const TernaryProductBackward& a) {
  const Fp8Gradient<R> dy(a);
  const Fp8Inputs<R> x(a.x, dy.factors);
  if (a.underflow) *a.underflow.data<double>() = x.underflow();
  product_backward_w<R>(a.dw, dy, x, dy.N, dy.O);
}

}  // namespace

void CpuBackend::run(const TernaryProductBackward& all) {
  TernaryProductBackward a = all;
  if (a.dw && rounds_dw(a.backward)) {
    visit_real(a.real(), [&]<class R>() { product_backward_w_fp8<R>(a); });
    a.dw = {};
  }
  const bool codes = a.x.q.dtype() == DType::i8;
  const CodeKernels* kernels = code_kernels_for(a.real(), a.w.t);
  if (codes && kernels) return ternary_product_backward(*kernels, a);
  visit_real(a.real(), [&]<class R>() {
    const Index N = a.x.q.shape()[0], O = a.w.t.shape()[0], I = a.x.q.shape()[1];
    const R* dy = data_or_null<R>(a.dy);
    const auto dy_rows = [&](Index first, Index rows) { return dy_of_dx<R>(a, first, rows); };
    if (a.dx)
      product_backward_x(a.dx, dy_rows, CodeRows<R>{a.w.t.data<std::int8_t>(), I}, N, O,
                         R(1) / *a.w.scale.data<R>());
    if (a.dw && codes)
      product_backward_w<R>(a.dw, RealGradient<R>{dy, O},
                            CodeRows<R>{a.x.q.data<std::int8_t>(), I, a.x.row_scale.data<R>()}, N,
                            O);
    else if (a.dw)
      product_backward_w<R>(a.dw, RealGradient<R>{dy, O}, RealRows<R>{a.x.q.data<R>(), I}, N, O);
  });
}

}  // namespace tern
