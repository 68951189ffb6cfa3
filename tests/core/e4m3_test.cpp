// Rounding to 8-bit floats by hand, and what it makes of rows: ties, saturation, subnormals.
#include "core/cpu/e4m3.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/backend.h"
#include "core/cpu/cpu_backend.h"

namespace tern {
namespace {

using testing::Each;
using testing::ElementsAreArray;
using testing::IsNan;
using Values = std::vector<double>;

struct Pair {
  double from, to;
};
// Three bits behind the leading one: from 1 on steps of 1/8, from 256 on steps of 32; below 2^-6
// steps of 2^-9.
const std::vector<Pair> kByHand = {
    {0, 0},
    {1, 1},
    {1.125, 1.125},
    {1.0625, 1},            // between 1 and 1.125: to 1.000
    {1.1875, 1.25},         // between 1.125 and 1.25: to 1.010
    {1.0625000001, 1.125},  // just above the tie, to f64; f32 reads 1.0625
    {1.9375, 2},            // between 1.875 and 2: into the next binade
    {-1.0625, -1},
    {-1.1875, -1.25},
    {432, 448},  // between 416 and 448: 448 is even
    {400, 384},  // between 384 and 416: 384 is
    {448, 448},
    {463, 448},
    {464, 448},  // saturates, where 480 would be next
    {1e30, 448},
    {-1e30, -448},
    {0x1p-6, 0x1p-6},           // the smallest normal
    {7 * 0x1p-9, 7 * 0x1p-9},   // the largest subnormal
    {7.5 * 0x1p-9, 0x1p-6},     // between them: 8 steps are even
    {0x1p-9, 0x1p-9},           // the smallest
    {0x1p-10, 0},               // between 0 and it
    {-0x1p-10, 0},              //
    {3 * 0x1p-10, 2 * 0x1p-9},  // between one step and two
    {0.51 * 0x1p-9, 0x1p-9},    //
    {1e-30, 0},
};

TEST(E4m3, ByHand) {
  for (const auto& [from, to] : kByHand) {
    EXPECT_EQ(cpu::round_e4m3(from), to) << from;
    if (from != 1.0625000001) {
      EXPECT_EQ(cpu::round_e4m3(float(from)), float(to)) << from;
    }
  }
  EXPECT_TRUE(std::signbit(cpu::round_e4m3(-1e-30f)));
}

// Every one of the 127 numbers of each sign is its own neighbour; halves between go to the even.
TEST(E4m3, EveryNumberAndEveryHalf) {
  double before = 0;
  for (int code = 1; code < 0x7f; ++code) {
    const int exponent = code >> 3, mantissa = code & 7;
    const double x =
        std::ldexp(exponent ? 8 + mantissa : mantissa, (exponent ? exponent : 1) - 7 - 3);
    const double half = (before + x) / 2, even = code % 2 ? before : x;
    for (const double sign : {1.0, -1.0}) {
      EXPECT_EQ(cpu::round_e4m3(sign * x), sign * x);
      EXPECT_EQ(cpu::round_e4m3(float(sign * x)), float(sign * x));
      EXPECT_EQ(cpu::round_e4m3(sign * half), sign * even) << code;
      EXPECT_EQ(cpu::round_e4m3(float(sign * half)), float(sign * even)) << code;
    }
    before = x;
  }
  EXPECT_EQ(before, 448);
}

// 1.000 * 2^(7 - 7), 1.110 * 2^(15 - 7), 0.001 * 2^(1 - 7); and there and back for every number
TEST(E4m3, Codes) {
  EXPECT_EQ(cpu::code_of(1).bits, 0b0'0111'000);
  EXPECT_EQ(cpu::code_of(-448).bits, 0b1'1111'110);
  EXPECT_EQ(cpu::code_of(0x1p-9f).bits, 0b0'0000'001);
  EXPECT_EQ(cpu::code_of(0).bits, 0);
  EXPECT_EQ(cpu::code_of(-0.0f).bits, 0b1'0000'000);
  for (int code = 0; code < 0x100; ++code) {
    if ((code & 0x7f) == 0x7f) continue;  // NaN, which no code stands for
    const float value = cpu::value_of({std::uint8_t(code)});
    EXPECT_EQ(cpu::round_e4m3(value), value) << code;
    EXPECT_EQ(cpu::code_of(value).bits, code);
  }
}

class Fp8Dx : public testing::TestWithParam<DType> {
 protected:
  // dx of one product whose weights are the identity: dy as it was rounded
  Values dx_of(const Values& dy, Index D, double scale = 1) {
    const Index N = Index(dy.size()) / D;
    const auto real = [&](const Shape& shape, const Values& values) {
      const Tensor t(cpu_, shape, GetParam());
      upload_real(t, values);
      return t;
    };
    std::vector<std::int8_t> identity(std::size_t(D * D), 0);
    for (Index i = 0; i < D; ++i) identity[i * D + i] = 1;
    const Tensor t(cpu_, {D, D}, DType::i8), q(cpu_, {N, D}, DType::i8);
    cpu_.upload(t, identity.data());
    cpu_.fill(q, 0);
    const Tensor dx(cpu_, {N, D}, GetParam());
    cpu_.run(TernaryProductBackward{.dx = {dx},
                                    .dy = real({N, D}, dy),
                                    .x = {.q = q, .row_scale = real({N}, Values(N, 1))},
                                    .w = {.t = t, .scale = real({1}, {scale})},
                                    .backward = BackwardProducts::fp8_dx});
    return download_real(dx);
  }
  CpuBackend cpu_{std::size_t(16) << 20};
};

TEST_P(Fp8Dx, RoundsRowsByTheirLargest) {
  // 448 in the row: r = 1 and dy is rounded as it is; half of it: r = 2, all steps halve
  const Values row = {448, 1.0625, 1.1875, -432, 0x1p-10, 3 * 0x1p-10, 0, -400};
  const Values want = {448, 1, 1.25, -448, 0, 0x1p-8, 0, -384};
  EXPECT_THAT(dx_of(row, 8), ElementsAreArray(want));
  Values two = row, halves = want;
  for (std::size_t i = 0; i < row.size(); ++i)
    two.push_back(row[i] / 2), halves.push_back(want[i] / 2);
  EXPECT_THAT(dx_of(two, 8), ElementsAreArray(halves));
  for (double& x : halves) x /= 4;
  EXPECT_THAT(dx_of(two, 8, 4), ElementsAreArray(halves));  // the weights' scale
}

TEST_P(Fp8Dx, ZeroRowsAndTinyOnes) {
  EXPECT_THAT(dx_of({0, -0.0, 0}, 3), Each(0));
  const Values tiny = dx_of({1e-20, 0, -1e-20}, 3);
  EXPECT_NEAR(tiny[0] / 1e-20, 1, 1e-6);
  EXPECT_EQ(tiny[2], -tiny[0]);
  EXPECT_THAT(dx_of({1e-36, 0, 0}, 3), Each(0));  // as if the largest were 1e-30
}

TEST_P(Fp8Dx, WhatIsNotFiniteDoesNotHide) {
  for (const double bad : {double(NAN), double(INFINITY), -double(INFINITY)})
    for (const Index D : {3, 16}) {
      Values dy(std::size_t(2 * D), 1);
      dy[1] = bad;
      const Values dx = dx_of(dy, D);
      EXPECT_THAT(Values(dx.begin(), dx.begin() + D), Each(IsNan())) << bad;
      EXPECT_THAT(Values(dx.begin() + D, dx.end()), Each(testing::DoubleNear(1, 1e-6)));
    }
}

// dw (1, 1) of tokens of one input each, with fp8
class Fp8Dw : public testing::TestWithParam<DType> {
 protected:
  double dw_of(const Values& dy, const std::vector<std::int8_t>& q, const Values& row_scale,
               double* underflow = nullptr) {
    const Index N = Index(dy.size());
    const auto real = [&](const Shape& shape, const Values& values) {
      const Tensor t(cpu_, shape, GetParam());
      upload_real(t, values);
      return t;
    };
    const Tensor codes(cpu_, {N, 1}, DType::i8), t(cpu_, {1, 1}, DType::i8);
    cpu_.upload(codes, q.data());
    cpu_.fill(t, 1);
    const Tensor dw(cpu_, {1, 1}, GetParam());
    const Tensor share = underflow ? Tensor(cpu_, {1}, DType::f64) : Tensor{};
    cpu_.run(TernaryProductBackward{.dw = {dw},
                                    .dy = real({N, 1}, dy),
                                    .x = {.q = codes, .row_scale = real({N}, row_scale)},
                                    .w = {.t = t, .scale = real({1}, {1})},
                                    .backward = BackwardProducts::fp8,
                                    .underflow = share});
    if (underflow) *underflow = download_real(share)[0];
    return download_real(dw)[0];
  }
  CpuBackend cpu_{std::size_t(16) << 20};
};

TEST_P(Fp8Dw, PutsTheRowsFactorsIntoTheInputs) {
  // codes 448, factors 1 and 1/2, s = 2: inputs 127 * 2 to 256, and 3 * 1/2 * 2
  EXPECT_EQ(dw_of({448, 224}, {127, 3}, {1, 1}), 448 * (256 + 3) / 2.0);
  // a row's scale is in its factor; the largest decides: 16 here, s = 1/8
  EXPECT_EQ(dw_of({448, 224}, {127, 3}, {1 / 16.0, 1 / 2.0}), 448 * (256 + 0.375) * 8);
  // a token 2^20 times smaller than the largest: nothing is left of it; 200 is a half and goes to
  // 192
  EXPECT_EQ(dw_of({448, 448 * 0x1p-20}, {100, 100}, {1, 1}), 448 * 192 / 2.0);
}

TEST_P(Fp8Dw, ZeroRowsAndTinyOnes) {
  EXPECT_EQ(dw_of({0, -0.0}, {127, 5}, {1, 1}), 0);
  EXPECT_NEAR(dw_of({1e-20, 0}, {127, 5}, {1, 1}) / 127e-20, 1, 1 / 16.0);
}

TEST_P(Fp8Dw, WhatIsNotFiniteDoesNotHide) {
  for (const double bad : {double(NAN), double(INFINITY), -double(INFINITY)})
    EXPECT_TRUE(std::isnan(dw_of({1, bad, 1}, {1, 0, 1}, {1, 1, 1}))) << bad;
  EXPECT_TRUE(std::isnan(dw_of({1, 1}, {1, 0}, {1, NAN})));
}

// The largest token's factor is 1, so s = 2: inputs of the others are q g 2.
TEST_P(Fp8Dw, UnderflowIsTheShareThatIsZeroOrSubnormal) {
  double share = -1;
  const auto of = [&](const Values& factors, const std::vector<std::int8_t>& q) {
    Values dy;
    for (const double f : factors) dy.push_back(448 * f);
    dw_of(dy, q, Values(factors.size(), 1), &share);
    return share;
  };
  EXPECT_EQ(of({1, 1}, {127, 0}), 0) << "0 loses nothing";
  EXPECT_EQ(of({1, 0x1p-7, 0x1p-8, 0x1p-20}, {127, 1, 1, 127}), 2 / 4.0);
  EXPECT_EQ(of({1, 0x1.fp-8, 0x1.dp-8}, {1, 1, 1}), 1 / 3.0) << "the second goes up to 2^-6";
  of({1, NAN}, {1, 1});
  EXPECT_EQ(share, 0);
}

INSTANTIATE_TEST_SUITE_P(Real, Fp8Dw, testing::Values(DType::f32, DType::f64),
                         [](const auto& p) { return name_of(p.param); });
INSTANTIATE_TEST_SUITE_P(Real, Fp8Dx, testing::Values(DType::f32, DType::f64),
                         [](const auto& p) { return name_of(p.param); });

}  // namespace
}  // namespace tern
