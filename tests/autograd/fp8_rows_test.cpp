// Gradients in 8-bit floats: by hand, who makes them and who must not, and that it changes no bit
// whether the op that writes a gradient makes them or the product that reads it.
#include <array>
#include <cmath>

#include "autograd/ops.h"
#include "core/dry/dry_backend.h"
#include "tests/support/by_hand.h"
#include "tests/support/op_cases.h"

namespace tern {
namespace {

using testing::ElementsAre;

class Fp8ByHand : public ByHand {
 protected:
  Tensor blank(const Shape& shape) { return Tensor(cpu_, shape, DType::f64); }
  Fp8Rows rows(Index N, Index D) {
    return {.codes = Tensor(cpu_, {N, D}, DType::e4m3), .factors = Tensor(cpu_, {N}, DType::f64)};
  }
  std::vector<int> codes(const Fp8Rows& rows) {
    std::vector<std::uint8_t> bits(std::size_t(rows.codes.elements()));
    cpu_.download(bits.data(), rows.codes);
    return {bits.begin(), bits.end()};
  }
};

TEST_F(Fp8ByHand, NormQuantize) {
  // Nothing arrives at the normalised row, so the gradient is dsum. 448: r = 1; 1.0625 lies between
  // 1.000 and 1.001, to the even. Half of the first row: the same codes, half the factor.
  const Tensor sum = tensor({4, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3}), to = blank({4, 3});
  const Fp8Rows fp8 = rows(4, 3);
  const std::vector<NormalizedRowGrad> nothing{{.weight = tensor({3}, {1, 1, 1})}};
  cpu_.run(NormQuantizeBackward{
      .dbranch = {to},
      .dbranch_fp8 = fp8,
      .rows = nothing,
      .dsum = tensor({4, 3}, {448, 1.0625, -400, 224, 0.53125, -200, 0, -0.0, 0, 1, NAN, 2}),
      .sum = sum,
      .rstd = tensor({4, 2}, {1, 1, 1, 1, 1, 1, 1, 1})});
  const int top = 0b0'1111'110, one = 0b0'0111'000, low = 0b1'1111'100;  // 448, 1, -384
  EXPECT_THAT(codes(fp8), ElementsAre(top, one, low, top, one, low, 0, 0, 0, 0, 0, 0));
  const Numbers factors = download_real(fp8.factors);
  expect({factors.begin(), factors.end() - 1}, {1, 0.5, 1e-30 / 448});
  EXPECT_TRUE(std::isnan(factors[3]));
}

TEST_F(Fp8ByHand, SwigluNormQuantize) {
  // a = (0, 0), b = (2, 7), so p = 0 and dp = rstd z = (4, 16); da = dp b / 2 = (4, 56), db = 0
  const Tensor to = blank({1, 4});
  const Fp8Rows fp8 = rows(1, 4);
  cpu_.run(SwigluNormQuantizeBackward{
      .da = {to},
      .da_fp8 = fp8,
      .row = {.dy = tensor({1, 2}, {2, 8}), .weight = tensor({2}, {1, 1})},
      .a = tensor({1, 4}, {0, 0, 2, 7}),
      .rstd = tensor({1}, {2})});
  expect(download_real(to), {4, 56, 0, 0});
  // r = 8: 32 = 1.000 * 2^(12 - 7), 448
  EXPECT_THAT(codes(fp8), ElementsAre(0b0'1100'000, 0b0'1111'110, 0, 0));
  expect(download_real(fp8.factors), {0.125});
}

TEST_F(Fp8ByHand, GatedNormQuantize) {
  // p = 0, as g is; dp = z = (1, 8); dg = dp silu(h) = (1, 8) silu(h), whatever that is
  const Tensor to = blank({1, 2});
  const Fp8Rows fp8 = rows(1, 2);
  cpu_.run(GatedNormQuantizeBackward{
      .dg = {to},
      .dg_fp8 = fp8,
      .row = {.dy = tensor({1, 2}, {1, 8}), .weight = tensor({2}, {1, 1})},
      .g = tensor({1, 2}, {0, 0}),
      .h = tensor({1, 2}, {3, 3}),
      .g_weight = tensor({2}, {1, 1}),
      .rstd = tensor({1, 2}, {1, 1})});
  // 56 = 1.110 * 2^(12 - 7), 448
  EXPECT_THAT(codes(fp8), ElementsAre(0b0'1100'110, 0b0'1111'110));
  expect(download_real(fp8.factors), {download_real(to)[1] / 448});
}

TEST_F(Fp8ByHand, ProductReadsTheCodes) {
  // dy is 1, but dx is made of what its codes say: 1.125 / 2, times t / scale = 2
  const Fp8Rows fp8 = rows(1, 1);
  const E4m3 code{0b0'0111'001};
  cpu_.upload(fp8.codes, &code);
  upload_real(fp8.factors, {0.5});
  const Tensor dx = blank({1, 1}), dw = blank({1, 1});
  const Tensor q(cpu_, {1, 1}, DType::i8), t(cpu_, {1, 1}, DType::i8);
  const std::int8_t three = 3, one = 1;
  cpu_.upload(q, &three);
  cpu_.upload(t, &one);
  TernaryProductBackward product{.dx = {dx},
                                 .dw = {dw},
                                 .dy = tensor({1, 1}, {1}),
                                 .x = {.q = q, .row_scale = tensor({1}, {1})},
                                 .w = {.t = t, .scale = tensor({1}, {0.5})},
                                 .backward = BackwardProducts::fp8_dx,
                                 .dy_fp8 = fp8};
  cpu_.run(product);
  expect(download_real(dx), {1.125});
  expect(download_real(dw), {3});
  product.dy_fp8 = {};
  cpu_.run(product);
  expect(download_real(dx), {2});
}

TEST(Fp8Rows, WhoMakesThemChangesNoBit) {
  CpuBackend cpu(std::size_t(32) << 20);
  for (const auto& [N, D, H] :
       std::vector<std::array<Index, 3>>{{1, 1, 1}, {67, 21, 35}, {40, 32, 48}})
    for (const DType dtype : {DType::f32, DType::f64})
      for (const auto backward : {BackwardProducts::fp8_dx, BackwardProducts::fp8}) {
        const OpCase made = fp8_rows_case(N, D, H, false, backward),
                     read = fp8_rows_case(N, D, H, true, backward);
        const OpRun want = run_case(cpu, dtype, read, sample(read), 2);
        EXPECT_EQ(run_case(cpu, dtype, made, sample(made), 2), want) << dtype << ' ' << N;
        EXPECT_EQ(run_case(cpu, dtype, recomputed(made), sample(made), 2), want)
            << dtype << ' ' << N;
      }
}

TEST(Fp8Rows, WhatTwoOpsWriteIsAdded) {
  CpuBackend cpu(std::size_t(32) << 20);
  const auto op = [](bool on_views) {
    return OpCase{
        .name = "two_writers",
        .inputs = {{.name = "x", .shape = {5, 8}},
                   {.name = "w", .shape = {8, 8}, .parameter = true},
                   {.name = "norm", .shape = {8}, .parameter = true}},
        .apply = [=](auto in) {
          const Var y = ternary_product(quantize_rows(in[0]), quantize_ternary(in[1]),
                                        BackwardProducts::fp8),
                    z = on_views ? reshape(y, y.value.shape()) : y;
          const Var other = silu(slice(z, 1, 1));  // its gradient is written last
          return Vars{dequantize(gated_norm_quantize(z, in[0], in[2], in[2], 1e-6)), other};
        }};
  };
  EXPECT_EQ(run_case(cpu, DType::f64, op(false), sample(op(false))),
            run_case(cpu, DType::f64, op(true), sample(op(true))));
}

TEST(Fp8Rows, DryRunPredictsThePeakToTheByte) {
  for (const auto backward : {BackwardProducts::fp8_dx, BackwardProducts::fp8}) {
    const OpCase op = fp8_rows_case(67, 21, 35, false, backward);
    DryBackend dry;
    run_case(dry, DType::f32, op, sample(op), 2);
    CpuBackend cpu(dry.pool().high_water());
    run_case(cpu, DType::f32, op, sample(op), 2);
    EXPECT_EQ(cpu.pool().high_water(), dry.pool().high_water());
    EXPECT_EQ(cpu.pool().used(), 0u);
  }
}

// Notes which products get 8-bit floats.
struct Watch final : DryBackend {
  using DryBackend::run;
  void run(const TernaryProductBackward& a) override {
    got.push_back(bool(a.dy_fp8));
    stored.push_back(bool(a.dy));
    DryBackend::run(a);
  }
  void run(const Accumulate& a) override {
    used = pool().used();
    DryBackend::run(a);
  }
  std::vector<bool> got{}, stored{};  // in 8-bit floats; as stored
  std::size_t used = 0;               // of the pool when an Accumulate last ran
};

class Fp8Tape : public testing::Test {
 protected:
  Var leaf(const Shape& shape) {
    parameters_.push_back({.value = Tensor(dry_, shape, DType::f32)});
    parameters_.back().grad.tensor = Tensor(dry_, shape, DType::f32);
    return tape_.leaf(parameters_.back());
  }
  Var product(BackwardProducts backward = BackwardProducts::fp8_dx) {
    return ternary_product(quantize_rows(leaf({4, 8})), quantize_ternary(leaf({8, 8})), backward);
  }
  Var product_of_constant(BackwardProducts backward) {
    const Var x{Tensor(dry_, {4, 8}, DType::f32)};
    return ternary_product(quantize_rows(x), quantize_ternary(leaf({8, 8})), backward);
  }
  Var gated(const Var& g) {
    return gated_norm_quantize(g, leaf({4, 8}), leaf({8}), leaf({8}), 1e-6).codes;
  }
  Var normed(const Var& x, const Var& branch) {
    return norm_quantize(x, branch, {}, {leaf({8})}, 1e-6).rows[0].codes;
  }
  Watch dry_{};
  std::deque<Parameter> parameters_{};
  Tape tape_{};
};

TEST_F(Fp8Tape, EachOfTheThreeOpsMakesThem) {
  const OpCase op = fp8_rows_case(5, 8, 8, false), views = fp8_rows_case(5, 8, 8, true);
  run_case(dry_, DType::f32, op, sample(op));
  EXPECT_THAT(dry_.got, ElementsAre(true, true, true, true));
  dry_.got.clear();
  run_case(dry_, DType::f32, views, sample(views));
  EXPECT_THAT(dry_.got, ElementsAre(false, false, false, false));
}

TEST_F(Fp8Tape, NotWhereNobodyWantsThem) {
  tape_.backward(gated(product({})));
  EXPECT_THAT(dry_.got, ElementsAre(false));
}

// A product whose input wants no gradient wants them if dw is made of them.
TEST_F(Fp8Tape, NotForTheWeightAlone) {
  tape_.backward(gated(product_of_constant(BackwardProducts::fp8_dx)));
  EXPECT_THAT(dry_.got, ElementsAre(false));
}
TEST_F(Fp8Tape, ForTheWeightAloneThatIsMadeOfThem) {
  tape_.backward(gated(product_of_constant(BackwardProducts::fp8)));
  EXPECT_THAT(dry_.got, ElementsAre(true));
}

// With fp8 both products read them: nothing else is written, unless an op adds to the gradient,
// cannot make them, or the input wants none.
TEST_F(Fp8Tape, SufficeWhereBothProductsReadThem) {
  const OpCase op = fp8_rows_case(5, 8, 8, false, BackwardProducts::fp8);
  run_case(dry_, DType::f32, op, sample(op));
  EXPECT_THAT(dry_.got, ElementsAre(true, true, true, true));
  EXPECT_THAT(dry_.stored, ElementsAre(false, false, false, false));
}
TEST_F(Fp8Tape, DoNotSufficeForOneProduct) {
  tape_.backward(gated(product()));
  EXPECT_THAT(dry_.stored, ElementsAre(true));
}
TEST_F(Fp8Tape, DoNotSufficeWithoutAnInputsGradient) {
  tape_.backward(gated(product_of_constant(BackwardProducts::fp8)));
  EXPECT_THAT(dry_.stored, ElementsAre(true));
}
TEST_F(Fp8Tape, DoNotSufficeWhereTwoOpsWrite) {
  const Var y = product(BackwardProducts::fp8), other = silu(slice(y, 1, 1));
  tape_.backward(std::vector{gated(y), other});
  EXPECT_THAT(dry_.got, ElementsAre(false));
  EXPECT_THAT(dry_.stored, ElementsAre(true));
}
TEST_F(Fp8Tape, DoNotSufficeWhereTheOpCannotMakeThem) {
  tape_.backward(silu(product(BackwardProducts::fp8)));
  EXPECT_THAT(dry_.got, ElementsAre(false));
  EXPECT_THAT(dry_.stored, ElementsAre(true));
}
TEST_F(Fp8Tape, DoNotSufficeForASeed) {
  const Var y = product(BackwardProducts::fp8);
  tape_.backward(std::vector{gated(y), y});
  EXPECT_THAT(dry_.got, ElementsAre(false));
  EXPECT_THAT(dry_.stored, ElementsAre(true));
}

// Whether the one that can make them writes first or last: what others add to has none.
TEST_F(Fp8Tape, WhatIsAddedToHasNone) {
  const Var y = product();
  tape_.backward(std::vector{gated(y), silu(y)});  // silu's gradient is written first
  EXPECT_THAT(dry_.got, ElementsAre(false));
}
TEST_F(Fp8Tape, WhatIsAddedToLaterHasThemNoLonger) {
  const Var y = product();
  const Var other = silu(y);
  tape_.backward(std::vector{gated(y), other});
  EXPECT_THAT(dry_.got, ElementsAre(false));
}
TEST_F(Fp8Tape, ASliceThatIsAddedToDropsThem) {
  const Var y = product();
  const Var other = silu(slice(y, 1, 1));
  tape_.backward(std::vector{gated(y), other});
  EXPECT_THAT(dry_.got, ElementsAre(false));
}
TEST_F(Fp8Tape, OneValueAsTwoInputsHasNone) {
  const Var y = product();
  tape_.backward(normed(y, y));
  EXPECT_THAT(dry_.got, ElementsAre(false));
}
TEST_F(Fp8Tape, AnOpThatCannotMakeThemLeavesThemToTheProduct) {
  tape_.backward(silu(product()));
  EXPECT_THAT(dry_.got, ElementsAre(false));
}

// Of a matrix whose gradient nobody wants nothing is lost, so nothing is said.
TEST(Fp8Underflow, IsSeenWhereThereIsADw) {
  DryBackend dry;
  const auto parameter = [&](const Shape& shape) {
    return Parameter{.value = Tensor(dry, shape, DType::f32),
                     .grad = {.tensor = Tensor(dry, shape, DType::f32)}};
  };
  for (const bool frozen : {false, true}) {
    Parameter x = parameter({4, 8}), w = parameter({8, 8});
    Tape tape;
    int seen = 0;
    tape.backward(ternary_product(quantize_rows(tape.leaf(x)),
                                  quantize_ternary(frozen ? Var{w.value} : tape.leaf(w)),
                                  BackwardProducts::fp8, [&](const Tensor&) { ++seen; }));
    EXPECT_EQ(seen, frozen ? 0 : 1);
  }
}

// They live from the op that makes them to the end of the product's backward: before that of scale
// nothing is left of them.
TEST_F(Fp8Tape, AreLetGoWithTheGradient) {
  const auto used = [](BackwardProducts backward) {
    const OpCase op{.name = "chain",
                    .inputs = {{.name = "x", .shape = {16, 32}},
                               {.name = "w", .shape = {32, 32}, .parameter = true},
                               {.name = "norm", .shape = {32}, .parameter = true}},
                    .apply = [=](auto in) {
                      const Var x = scale(in[0], 2);
                      const Var y =
                          ternary_product(quantize_rows(x), quantize_ternary(in[1]), backward);
                      return Vars{dequantize(gated_norm_quantize(y, x, in[2], in[2], 1e-6))};
                    }};
    Watch dry;
    run_case(dry, DType::f32, op, sample(op));
    EXPECT_THAT(dry.got, ElementsAre(rounds_dx(backward)));
    return dry.used;
  };
  EXPECT_EQ(used(BackwardProducts::fp8_dx), used({}));
}

}  // namespace
}  // namespace tern
