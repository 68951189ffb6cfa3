// Integer sums are exact: the forward product has the CPU's bits at every shape and on every path.
// So have the codes that fp8_dx makes of dy.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "core/backend.h"
#include "core/bfloat16.h"
#include "core/cpu/cpu_backend.h"
#include "core/rng.h"
#include "tests/cuda/gpu.h"

namespace tern {
namespace {

constexpr std::size_t kSlab = std::size_t(512) << 20;

struct Codes {
  std::vector<std::int8_t> q, t;
  std::vector<float> row_scale, scale;
};

Codes random_codes(Index N, Index O, Index I) {
  const Rng rng(3, stream_of("codes"));
  Codes c;
  std::uint64_t at = 0;
  for (Index i = 0; i < N * I; ++i) c.q.push_back(std::int8_t(rng.uniform(at++) * 255 - 127));
  for (Index i = 0; i < O * I; ++i) c.t.push_back(std::int8_t(rng.uniform(at++) * 3 - 1.0));
  for (Index i = 0; i < N; ++i) c.row_scale.push_back(float(1 + 40 * rng.uniform(at++)));
  c.scale = {17.3f};
  return c;
}

std::vector<float> product(Backend& on, const Codes& c, Index N, Index O, Index I,
                           DType stored = DType::i8) {
  const Quantized x{.q = Tensor(on, {N, I}, DType::i8), .row_scale = Tensor(on, {N}, DType::f32)};
  TernaryWeight w{.t = Tensor(on, {O, I}, DType::i8), .scale = Tensor(on, {1}, DType::f32)};
  const Tensor y(on, {N, O}, DType::f32);
  on.upload(x.q, c.q.data());
  on.upload(x.row_scale, c.row_scale.data());
  on.upload(w.t, c.t.data());
  on.upload(w.scale, c.scale.data());
  on.fill(y, -1);
  if (stored == DType::t2) {
    const Tensor tiles(on, {O, I}, DType::t2);
    pack_tiles(tiles, w.t);
    w.t = tiles;
  }
  on.run(TernaryProduct{.y = y, .x = x, .w = w});
  std::vector<float> out(std::size_t(N * O));
  on.download(out.data(), y);
  return out;
}

class CudaProduct : public GpuTest {};

TEST_F(CudaProduct, HasTheCpusBits) {
  CpuBackend cpu(kSlab);
  for (const auto& [N, O, I] : std::vector<std::array<Index, 3>>{{1, 1, 1},
                                                                 {3, 5, 7},
                                                                 {67, 130, 48},
                                                                 {128, 256, 128},
                                                                 {129, 257, 144},
                                                                 {1000, 320, 320},
                                                                 {513, 2048, 1024},
                                                                 {300, 1024, 2816},
                                                                 // few rows by tiles as they are
                                                                 {1, 1024, 1024},
                                                                 {7, 33, 64},
                                                                 {33, 257, 192},
                                                                 {256, 130, 576},
                                                                 {257, 64, 128}}) {
    const Codes codes = random_codes(N, O, I);
    const std::vector<float> want = product(cpu, codes, N, O, I);
    for (const DType stored : {DType::i8, DType::t2})
      EXPECT_EQ(product(gpu(kSlab), codes, N, O, I, stored), want)
          << N << ' ' << O << ' ' << I << ' ' << stored;
  }
}

// dx (N, I) by fp8_dx, from values that bf16 holds
std::vector<double> fp8_dx(Backend& on, DType dtype, const Codes& c, const std::vector<double>& dy,
                           Index N, Index O, Index I) {
  const Quantized x{.q = Tensor(on, {N, I}, DType::i8), .row_scale = Tensor(on, {N}, DType::f32)};
  const TernaryWeight w{.t = Tensor(on, {O, I}, DType::i8), .scale = Tensor(on, {1}, DType::f32)};
  const Tensor from(on, {N, O}, dtype), dx(on, {N, I}, dtype);
  on.upload(w.t, c.t.data());
  on.upload(w.scale, c.scale.data());
  upload_real(from, dy);
  on.fill(dx, -1);
  on.run(TernaryProductBackward{
      .dx = {dx}, .dy = from, .x = x, .w = w, .backward = BackwardProducts::fp8_dx});
  return download_real(dx);
}

// of all elements whose right value is a number; the others must not be
double largest_error(const std::vector<double>& got, const std::vector<double>& want) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (std::isnan(got[i]) != std::isnan(want[i])) return 1e30;
    if (std::isnan(want[i])) continue;
    error = std::max(error, std::abs(got[i] - want[i]));
    size = std::max(size, std::abs(want[i]));
  }
  return size > 0 ? error / size : error;
}

// The codes are the CPU's, so only dx is rounded otherwise: to bf16, at most 4e-3 of the largest.
// Without rounding dy at all it would be 1e-2. The fourth size and those after are the library's.
TEST_F(CudaProduct, Fp8DxHasTheCpusCodes) {
  CpuBackend cpu(kSlab);
  for (const auto& [N, O, I] : std::vector<std::array<Index, 3>>{{1, 1, 1},
                                                                 {5, 67, 33},
                                                                 {129, 264, 40},
                                                                 {3, 16, 16},
                                                                 {67, 80, 48},
                                                                 {1000, 320, 336},
                                                                 {513, 2048, 1024},
                                                                 {259, 11264, 272}}) {
    const Codes codes = random_codes(N, O, I);
    const Rng rng(9, stream_of("dy"));
    std::vector<double> dy;
    for (Index i = 0; i < N * O; ++i)  // eight bits, rows of many sizes
      dy.push_back(std::ldexp(std::floor(rng.uniform(i) * 255) - 127, -int(i / O % 40)));
    if (N > 3) {
      std::fill_n(dy.begin(), O, 0.0);
      dy[O] = NAN;
      dy[2 * O + O / 2] = -INFINITY;
    }
    const std::vector<double> want = fp8_dx(cpu, DType::f32, codes, dy, N, O, I);
    // row by row: each is on its own scale
    for (const DType dtype : {DType::bf16, DType::f32}) {
      const std::vector<double> got = fp8_dx(gpu(kSlab), dtype, codes, dy, N, O, I);
      EXPECT_EQ(std::vector<double>(got.begin(), got.begin() + (N > 3 ? I : 0)),
                std::vector<double>(N > 3 ? I : 0, 0.0));
      for (Index n = N > 3 ? 1 : 0; n < N; ++n) {
        const auto row = [&](const std::vector<double>& m) {
          return std::vector<double>(m.begin() + n * I, m.begin() + (n + 1) * I);
        };
        ASSERT_LE(largest_error(row(got), row(want)), dtype == DType::bf16 ? 4.5e-3 : 1e-5)
            << dtype << ' ' << N << ' ' << O << ' ' << I << " row " << n;
      }
    }
  }
}

// The codes are the CPU's, so their count is.
TEST_F(CudaProduct, UnderflowIsTheCpus) {
  CpuBackend cpu(kSlab);
  for (const auto& [N, O, I] : std::vector<std::array<Index, 3>>{
           {1, 1, 1}, {67, 33, 37}, {300, 272, 144}, {70, 16, 2816}}) {
    const Codes codes = random_codes(N, O, I);
    std::vector<double> dy;
    for (Index i = 0; i < N * O; ++i) dy.push_back(std::ldexp(1 + i % 2, -int(i / O % 20)));
    const auto share = [&](Backend& on, DType dtype) {
      const Quantized x{.q = Tensor(on, {N, I}, DType::i8),
                        .row_scale = Tensor(on, {N}, DType::f32)};
      const TernaryWeight w{.t = Tensor(on, {O, I}, DType::i8),
                            .scale = Tensor(on, {1}, DType::f32)};
      const Tensor from(on, {N, O}, dtype), dw(on, {O, I}, DType::f32), out(on, {1}, DType::f64);
      on.upload(x.q, codes.q.data());
      on.upload(x.row_scale, codes.row_scale.data());
      on.upload(w.t, codes.t.data());
      on.upload(w.scale, codes.scale.data());
      upload_real(from, dy);
      on.run(TernaryProductBackward{.dw = {dw},
                                    .dy = from,
                                    .x = x,
                                    .w = w,
                                    .backward = BackwardProducts::fp8,
                                    .underflow = out});
      return download_real(out)[0];
    };
    const double want = share(cpu, DType::f32);
    if (N > 1) {
      EXPECT_GT(want, 0.1);
    }
    for (const DType dtype : {DType::bf16, DType::f32})
      EXPECT_EQ(share(gpu(kSlab), dtype), want) << dtype << ' ' << N << ' ' << O << ' ' << I;
  }
}

// So many rows that the library takes them in two parts, with a workspace for one.
TEST_F(CudaProduct, Fp8DxOfManyRowsIsThatOfTheirHalves) {
  const Index half = 65792, N = 2 * half - 212, O = 2048, I = 32;
  CudaBackend& on = gpu(std::size_t(2) << 30);
  const Codes codes = random_codes(1, O, I);
  const Quantized x{.q = Tensor(on, {N, I}, DType::i8), .row_scale = Tensor(on, {N}, DType::f32)};
  const TernaryWeight w{.t = Tensor(on, {O, I}, DType::i8), .scale = Tensor(on, {1}, DType::f32)};
  const Tensor dy(on, {N, O}, DType::bf16);
  on.upload(w.t, codes.t.data());
  on.upload(w.scale, codes.scale.data());
  std::vector<BFloat16> values(std::size_t(N * O));
  for (Index i = 0; i < N * O; ++i)
    values[i] =
        to_stored<BFloat16>(float((i * 7 + i / O * 31) % 255 - 127) / float(1 + i / O % 61));
  on.upload(dy, values.data());
  const auto dx = [&](Index first, Index rows, const Tensor& to) {
    on.run(TernaryProductBackward{.dx = {to.slice(first, rows)},
                                  .dy = dy.slice(first, rows),
                                  .x = {.q = x.q.slice(first, rows), .row_scale = x.row_scale},
                                  .w = w,
                                  .backward = BackwardProducts::fp8_dx});
  };
  const Tensor whole(on, {N, I}, DType::bf16), halves(on, {N, I}, DType::bf16);
  on.fill(whole, -1);
  dx(0, N, whole);
  dx(0, half, halves);
  dx(half, N - half, halves);
  EXPECT_TRUE(download_real(whole) == download_real(halves));
}

}  // namespace
}  // namespace tern
