// dw in 8-bit floats by the library: its bits do not depend on whether x's codes are read or made
// again, on how many parts the rows are taken in, nor on what dx is computed beside it.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/bfloat16.h"
#include "core/rng.h"
#include "core/workspace.h"
#include "tests/cuda/gpu.h"

namespace tern {
namespace {

constexpr std::size_t kSlab = std::size_t(4) << 30;

class CudaFp8Dw : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    if (!gpu(kSlab).traits().fp8) GTEST_SKIP() << "no products of 8-bit floats here";
  }
};

std::vector<double> normals(std::string_view name, Index count) {
  std::vector<double> values(std::size_t(count), 0);
  Rng(5, stream_of(name)).normals(0, values);
  return values;
}

Tensor uploaded(Backend& on, const Shape& shape, DType dtype, const std::vector<double>& values) {
  const Tensor t(on, shape, dtype);
  upload_real(t, values);
  return t;
}

TernaryWeight random_weight(Backend& on, Index O, Index I) {
  const TernaryWeight w{.t = Tensor(on, {O, I}, DType::i8),
                        .scale = uploaded(on, {1}, DType::f32, {17.3})};
  std::vector<std::int8_t> t;
  for (const double x : normals("w", O * I)) t.push_back(std::int8_t((x > 0.4) - (x < -0.4)));
  on.upload(w.t, t.data());
  return w;
}

enum class Form { plain, block, gated };

// A norm's codes and what they are made of, as the ops of autograd/ops/quantize.cpp hand it on.
struct Normed {
  Quantized x{};
  NormedRows of{};
};

Normed quantized(Backend& on, Form form, Index N, Index I, bool has_nan = false) {
  const auto rows = [&](std::string_view name, bool nan) {
    std::vector<double> values = normals(name, N * I);
    std::fill_n(values.begin() + 5 * I, I, 0.0);
    if (nan) values[std::size_t(I + I / 2)] = NAN;
    return uploaded(on, {N, I}, DType::bf16, values);
  };
  const auto weight = [&](std::string_view name) {
    return uploaded(on, {I}, DType::f32, normals(name, I));
  };
  const Quantized y{.q = Tensor(on, {N, I}, DType::i8), .row_scale = Tensor(on, {N}, DType::f32)};
  const Tensor first = rows("first", has_nan), rstd(on, {N, 2}, DType::f32);
  const NormalizedRow row{.y = y, .weight = weight("weight")};
  NormedRows of{.sum = first, .rstd = rstd, .weight = row.weight};
  if (form != Form::plain) of.block = weight("block");
  if (form == Form::gated) {
    of.gate = rows("second", false);
    on.run(GatedNormQuantize{
        .row = row, .rstd = rstd, .g = first, .h = of.gate, .g_weight = of.block});
  } else if (form == Form::block) {  // of a sum that is rounded before it is read
    of.sum = Tensor(on, {N, I}, DType::bf16);
    on.run(NormQuantize{.rows = std::span(&row, 1),
                        .sum = of.sum,
                        .rstd = rstd,
                        .x = first,
                        .branch = rows("second", false),
                        .block_weight = of.block});
  } else {
    on.run(NormQuantize{.rows = std::span(&row, 1), .rstd = rstd, .x = first});
  }
  return {.x = y, .of = of};
}

// Widths of every layout of rows. A row of NaN makes all of dw NaN, whatever its codes are.
TEST_F(CudaFp8Dw, CodesMadeAgainChangeNoBit) {
  CudaBackend& on = gpu(kSlab);
  const Index N = 201;  // the last tile is not full
  for (const auto& [O, I] :
       std::vector<std::array<Index, 2>>{{80, 64}, {80, 1024}, {272, 4112}, {272, 8208}}) {
    std::vector<double> values = normals("dy", N * O);
    for (Index i = 0; i < N * O; ++i)  // rows of many sizes: some p are too small
      values[std::size_t(i)] = std::ldexp(values[std::size_t(i)], -int(i / O % 20));
    const Tensor dy = uploaded(on, {N, O}, DType::bf16, values);
    const TernaryWeight w = random_weight(on, O, I);
    for (const Form form : {Form::plain, Form::block, Form::gated})
      for (const bool has_nan : {false, true}) {
        SCOPED_TRACE(testing::Message()
                     << O << ' ' << I << " form " << int(form) << ' ' << has_nan);
        const Normed rows = quantized(on, form, N, I, has_nan);
        TernaryProductBackward a{.dw = {Tensor(on, {O, I}, DType::f32)},
                                 .dy = dy,
                                 .x = rows.x,
                                 .w = w,
                                 .backward = BackwardProducts::fp8,
                                 .underflow = Tensor(on, {1}, DType::f64)};
        const auto results = [&] {
          on.fill(a.dw.to, -1);
          on.fill(a.underflow, -1);
          on.run(a);
          return std::pair(download_real(a.dw.to), download_real(a.underflow)[0]);
        };
        ASSERT_TRUE(library_fp8_dw(a, on.traits()));
        ASSERT_FALSE(makes_codes(a, on.traits()));
        const auto [read, share_read] = results();
        a.x = {.row_scale = rows.x.row_scale};
        a.x_of = rows.of;
        ASSERT_TRUE(makes_codes(a, on.traits()));
        const auto [made, share_made] = results();
        EXPECT_EQ(share_made, share_read);
        if (has_nan) {
          const auto is_nan = [](double x) { return std::isnan(x); };
          EXPECT_TRUE(std::all_of(read.begin(), read.end(), is_nan));
          EXPECT_TRUE(std::all_of(made.begin(), made.end(), is_nan));
        } else {
          EXPECT_GT(share_read, 0);
          EXPECT_TRUE(made == read);
        }
      }
  }
}

// So many rows that the library takes them in two parts, the second not of whole tiles. 8-bit
// floats hold these numbers and f32 every sum of them, in any order: so dw in f32 is that of the
// parts' rows alone, and some columns of it are computed here. In bf16 it is rounded once.
TEST_F(CudaFp8Dw, InTwoPartsIsTheSumOfBoth) {
  CudaBackend& on = gpu(kSlab);
  const Index N = 33'000, O = 8192, I = 8192, kBlock = 509;  // rows that are repeated
  std::vector<BFloat16> dy_values(std::size_t(N * O));
  std::vector<std::int8_t> q_values(std::size_t(N * I));
  std::vector<float> scales(std::size_t(N), 0);
  std::vector<double> drawn(std::size_t(kBlock * O));
  // Whole numbers up to 7: of dy their codes are 64 times as much. The largest factor of a row,
  // which decides s, comes in every four rows, so in both parts.
  Rng(5, stream_of("dy")).uniforms(0, drawn);
  for (Index i = 0; i < kBlock * O; ++i)
    dy_values[std::size_t(i)] = to_stored<BFloat16>(
        float((std::floor(drawn[std::size_t(i)] * 15) - 7) * double(1 + i / O % 2)));
  Rng(5, stream_of("q")).uniforms(0, drawn);
  for (Index i = 0; i < kBlock * I; ++i)
    q_values[std::size_t(i)] = std::int8_t(std::floor(drawn[std::size_t(i)] * 15) - 7);
  for (Index n = 0; n < N; ++n) scales[std::size_t(n)] = float(1 + n % kBlock / 2 % 2);
  for (Index i = kBlock * O; i < N * O; ++i)
    dy_values[std::size_t(i)] = dy_values[std::size_t(i - kBlock * O)];
  for (Index i = kBlock * I; i < N * I; ++i)
    q_values[std::size_t(i)] = q_values[std::size_t(i - kBlock * I)];
  const Tensor dy(on, {N, O}, DType::bf16);
  const Quantized x{.q = Tensor(on, {N, I}, DType::i8), .row_scale = Tensor(on, {N}, DType::f32)};
  const TernaryWeight w{.t = Tensor(on, {O, I}, DType::i8), .scale = Tensor(on, {1}, DType::f32)};
  on.upload(dy, dy_values.data());
  on.upload(x.q, q_values.data());
  on.upload(x.row_scale, scales.data());
  const auto product = [&](const Grad& dw, Index first, Index rows) {
    return TernaryProductBackward{
        .dw = dw,
        .dy = dy.slice(first, rows),
        .x = {.q = x.q.slice(first, rows), .row_scale = x.row_scale.slice(first, rows)},
        .w = w,
        .backward = BackwardProducts::fp8};
  };
  const auto parts_of = [&](const TernaryProductBackward& a) {
    const Index rows = fp8_dw_operands(a, on.traits()).rows, all = a.dy.shape()[0];
    return (all + rows - 1) / rows;
  };
  constexpr float kEarlier = 1000;  // what is added to
  const auto dw = [&]<class T>(T, bool add, Index first, Index rows, Index parts) {
    const Tensor to(on, {O, I}, dtype_of<T>);
    on.fill(to, kEarlier);
    const TernaryProductBackward a = product({to, add}, first, rows);
    EXPECT_EQ(parts_of(a), parts);
    on.run(a);
    std::vector<T> values(std::size_t(O * I));
    on.download(values.data(), to);
    return values;
  };
  const Index part =
      fp8_dw_operands(product({Tensor(on, {O, I}, DType::f32)}, 0, N), on.traits()).rows;
  ASSERT_LT(part, N);
  ASSERT_NE((N - part) % 128, 0);

  const std::vector<float> whole = dw(0.0f, false, 0, N, 2);
  float largest = 0;
  for (const float v : whole) largest = std::max(largest, std::abs(v));
  EXPECT_GT(largest, 1000);
  const auto wrong = [&](const std::vector<float>& got, const auto& want) {  // elements
    Index count = 0;
    for (std::size_t i = 0; i < got.size(); ++i)
      count += !(std::abs(got[i] - want(i)) <= 1e-6f * largest);
    return count;
  };
  {
    const std::vector<float> first = dw(0.0f, false, 0, part, 1),
                             second = dw(0.0f, false, part, N - part, 1);
    EXPECT_EQ(wrong(whole, [&](std::size_t i) { return first[i] + second[i]; }), 0);
  }
  for (const Index i : {Index(0), Index(129), I / 2 - 1, I - 1})
    for (Index o = 0; o < O; ++o) {
      double want = 0;
      for (Index n = 0; n < kBlock; ++n)
        want += double(N / kBlock + (n < N % kBlock)) *
                double(to_real(dy_values[std::size_t(n * O + o)])) *
                q_values[std::size_t(n * I + i)] / double(scales[std::size_t(n)]);
      ASSERT_NEAR(whole[std::size_t(o * I + i)], want, 1e-6 * largest) << o << ' ' << i;
    }
  EXPECT_EQ(wrong(dw(0.0f, true, 0, N, 2), [&](std::size_t i) { return whole[i] + kEarlier; }), 0);

  for (const bool add : {false, true}) {
    const std::vector<BFloat16> half = dw(BFloat16{}, add, 0, N, 2);
    Index others = 0;
    for (std::size_t i = 0; i < half.size(); ++i)
      others += half[i].bits != to_stored<BFloat16>(add ? whole[i] + kEarlier : whole[i]).bits;
    EXPECT_EQ(others, 0) << add;
  }
}

// A dx that is added to is not the library's: it is f32 sums of the same codes, rounded to bf16
// once, where the library's is rounded before it is added here. Both roundings are half a unit of
// eight bits; the library's sums are 1e-3 of the largest apart at most.
TEST_F(CudaFp8Dw, IsTheSameBesideADxThatAdds) {
  CudaBackend& on = gpu(kSlab);
  for (const auto& [N, O, I] :
       std::vector<std::array<Index, 3>>{{67, 80, 48}, {201, 272, 1024}, {1000, 320, 336}}) {
    SCOPED_TRACE(testing::Message() << N << ' ' << O << ' ' << I);
    const Tensor dx(on, {N, I}, DType::bf16);
    TernaryProductBackward a{.dw = {Tensor(on, {O, I}, DType::f32)},
                             .dy = uploaded(on, {N, O}, DType::bf16, normals("dy", N * O)),
                             .x = quantized(on, Form::plain, N, I).x,
                             .w = random_weight(on, O, I),
                             .backward = BackwardProducts::fp8};
    upload_real(dx, normals("earlier", N * I));
    const std::vector<double> earlier = download_real(dx);
    const auto dw = [&] {
      on.fill(a.dw.to, -1);
      on.run(a);
      return download_real(a.dw.to);
    };
    const std::vector<double> alone = dw();
    a.dx = {dx, true};
    ASSERT_TRUE(library_fp8_dw(a, on.traits()));
    ASSERT_FALSE(library_fp8_product(a, on.traits()));
    EXPECT_TRUE(dw() == alone);
    const std::vector<double> added = download_real(dx);
    a.dx.add = false;
    ASSERT_TRUE(library_fp8_product(a, on.traits()));
    EXPECT_TRUE(dw() == alone);
    const std::vector<double> without = download_real(dx);
    double largest = 0;
    for (const double v : without) largest = std::max(largest, std::abs(v));
    EXPECT_GT(largest, 0.1);
    for (std::size_t i = 0; i < added.size(); ++i)
      ASSERT_NEAR(added[i], earlier[i] + without[i],
                  (std::abs(added[i]) + std::abs(without[i])) / 250 + 1e-3 * largest)
          << i;
  }
}

}  // namespace
}  // namespace tern
