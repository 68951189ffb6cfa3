// Each fused op worked out on paper: value and gradient.
#include <cmath>

#include "autograd/ops.h"
#include "tests/support/by_hand.h"

namespace tern {
namespace {

using testing::ElementsAre;

const double ln2 = std::log(2), ln3 = std::log(3);

using FusedOps = ByHand;

TEST_F(FusedOps, QuantizeRows) {
  // absmax 1: scale 127; 63.5 and 31.75 round to 64 (even) and 32
  const Var x = input({2, 3}, {1, -0.5, 0.25, 0, 0, 0});
  const QuantizedVar q = quantize_rows(x);
  EXPECT_THAT(codes(q.codes.value), ElementsAre(127, -64, 32, 0, 0, 0));
  expect(download_real(q.scale), {127, 127 / 1e-5});
  const Var y = dequantize(q);
  expect(y, {1, -64 / 127.0, 32 / 127.0, 0, 0, 0});
  backward(y, {1, 2, 3, 4, 5, 6});
  expect_gradient(x, {1, 2, 3, 4, 5, 6});  // straight through
}

TEST_F(FusedOps, QuantizeTernary) {
  // mean |w| = 2: scale 1/2; codes are round(w / 2) clamped
  const QuantizedVar t = quantize_ternary({tensor({2, 2}, {5, -1.5, 0.5, -1})});
  EXPECT_THAT(codes(t.codes.value), ElementsAre(1, -1, 0, 0));  // -1/2 rounds to even: 0
  expect(download_real(t.scale), {0.5});
}

TEST_F(FusedOps, TernaryProduct) {
  // q = (127, -64), scale 127; t = (1, -1 | 0, 1), scale 1/2
  const Var x = input({1, 2}, {1, -0.5}), w = input({2, 2}, {4, -2, 0, 2});
  const Var y = ternary_product(quantize_rows(x), quantize_ternary(w));
  expect(y, {191 / 63.5, -64 / 63.5});
  backward(y, {1, 10});
  expect_gradient(x, {2, -2 + 20});                        // dy t / scale
  expect_gradient(w, {1, -64 / 127.0, 10, -640 / 127.0});  // dy q / row_scale
}

TEST_F(FusedOps, BitLinear) {
  // rms of (1, 7) is 5: (0.2, 1.4), times (7, 1): (1.4, 1.4); codes (127, 127), scale 127 / 1.4
  const Var x = input({1, 2}, {1, 7}), norm = input({2}, {7, 1}), w = input({1, 2}, {2, -2});
  const Var y = bit_linear(x, norm, quantize_ternary(w), 0);
  expect(y, {0});  // 127 - 127
  backward(y, {1});
  // t / scale = (2, -2) is the gradient of the weighted row; the row before is (0.2, 1.4)
  expect_gradient(norm, {0.4, -2.8});
  // z = (14, -2), mean(z x) = 0: dx = z / 5
  expect_gradient(x, {2.8, -0.4});
  expect_gradient(w, {1.4, 1.4});
}

TEST_F(FusedOps, NormQuantize) {
  // sum = (1, 7), its rms 5; block weight (5, 5): u = (1, 7), whose rms is 5 again
  const Var x = input({1, 2}, {0, 5}), branch = input({1, 2}, {1, 2});
  const Var block = input({2}, {5, 5}), first = input({2}, {1, 1}), second = input({2}, {7, -1});
  const NormQuantized y = norm_quantize(x, branch, block, {first, second}, 0);
  expect(y.sum, {1, 7});
  EXPECT_THAT(codes(y.rows[0].codes.value), ElementsAre(18, 127));  // 127 / 7 = 18.14
  EXPECT_THAT(codes(y.rows[1].codes.value), ElementsAre(127, -127));
  for (const QuantizedVar& row : y.rows)  // a few of the last bits of 90.7
    EXPECT_DOUBLE_EQ(download_real(row.scale)[0], 127 / 1.4);
  tape_.backward(std::vector{y.sum, dequantize(y.rows[0])},
                 std::vector{tensor({1, 2}, {10, 20}), tensor({1, 2}, {1, 0})});
  // Row 0: as RmsNorm by hand, du = (0.196, -0.028). Through the block norm: z = 5 du,
  // mean(z x) = 0: dx = 0.2 z = du. Plus what arrives at the sum.
  expect_gradient(x, {10.196, 19.972});
  expect_gradient(branch, {10.196, 19.972});
  expect_gradient(block, {0.196 * 0.2, -0.028 * 1.4});  // du * sum / 5
  expect_gradient(first, {0.2, 0});
  expect_gradient(second, {0, 0});  // nobody used row 1
}

TEST_F(FusedOps, GatedNormQuantize) {
  // rms of g is 5: (0.2, 1.4) times (5, 5) = (1, 7); silu(ln 3) = C, silu(0) = 0: p = (C, 0),
  // normalised (sqrt 2, 0)
  const double C = 0.75 * ln3;
  const Var g = input({1, 2}, {1, 7}), h = input({1, 2}, {ln3, 0});
  const Var g_weight = input({2}, {5, 5}), weight = input({2}, {1, 3});
  const QuantizedVar y = gated_norm_quantize(g, h, g_weight, weight, 0);
  EXPECT_THAT(codes(y.codes.value), ElementsAre(127, 0));
  expect(download_real(y.scale), {127 / std::sqrt(2)});
  backward(dequantize(y), {1, 1});
  // z = (1, 3), rstd = sqrt 2 / C, mean(z p) = C / 2: dp = rstd (z - p / C) = rstd (0, 3)
  const double dp = 3 * std::sqrt(2) / C;
  // only p[1] = 7 silu(h[1]) has a gradient, silu(0) = 0, its slope there is 1/2
  expect_gradient(g, {0, 0});
  expect_gradient(h, {0, dp * 7 / 2});
  expect_gradient(g_weight, {0, 0});
  expect_gradient(weight, {std::sqrt(2), 0});
}

TEST_F(FusedOps, SwigluNormQuantize) {
  // a = (ln 3, 0), b = (2, 7): p = (2 C, 0), normalised (sqrt 2, 0)
  const double C = 0.75 * ln3;
  const Var ab = input({1, 4}, {ln3, 0, 2, 7}), weight = input({2}, {1, 3});
  const QuantizedVar y = swiglu_norm_quantize(ab, weight, 0);
  EXPECT_THAT(codes(y.codes.value), ElementsAre(127, 0));
  expect(download_real(y.scale), {127 / std::sqrt(2)});
  backward(dequantize(y), {1, 1});
  const double dp = 3 * std::sqrt(2) / (2 * C);  // as above: dp = (0, 3 rstd)
  expect_gradient(ab, {0, dp * 7 / 2, 0, 0});
  expect_gradient(weight, {std::sqrt(2), 0});
}

TEST_F(FusedOps, MlgruWithoutBound) {
  // f = (1/2, 3/4, 1/4), c = C; h = C (1/2, 5/8, 29/32)
  const double C = 0.75 * ln3;
  const Var f = input({1, 3, 1}, {0, ln3, -ln3}), c = input({1, 3, 1}, {ln3, ln3, ln3});
  const MlgruOutput y = mlgru(f, c, {}, {}, true);
  expect(y.h, {C / 2, C * 5 / 8, C * 29 / 32});
  expect(download_real(y.last), {C * 29 / 32});
  backward(y.h, {0, 0, 32});
  // arriving: 32, 32/4 = 8, 8 * 3/4 = 6; df = arriving * (h before - c), times f (1 - f)
  expect_gradient(f, {6 * -C / 4, 8 * (-C / 2) * 3 / 16, 32 * (-C * 3 / 8) * 3 / 16});
  const double slope = 0.75 + ln3 * 0.1875;  // of silu at ln 3
  expect_gradient(c, {6 * slope / 2, 8 * slope / 4, 32 * slope * 3 / 4});
}

TEST_F(FusedOps, MlgruWithBoundAndInitialState) {
  // sigma = 1/2, bound 1/2: f = 3/4; c = 0; h = (3, 9/4) from 4
  const Var f = input({1, 2, 1}, {0, 0}), c = input({1, 2, 1}, {0, 0});
  const Var bound = input({1}, {0.5}), initial = input({1, 1}, {4});
  const Var h = mlgru(f, c, bound, initial).h;
  expect(h, {3, 2.25});
  backward(h, {0, 16});
  // arriving: 16, 12; df = (12 * 4, 16 * 3) = 48 each
  expect_gradient(f, {48 * 0.5 * 0.25, 48 * 0.5 * 0.25});  // (1 - bound) sigma (1 - sigma)
  expect_gradient(c, {12 * 0.25 / 2, 16 * 0.25 / 2});      // (1 - f), silu's slope at 0 is 1/2
  expect_gradient(bound, {48 * 0.5 + 48 * 0.5});           // 1 - sigma
  expect_gradient(initial, {9});
}

// dlast stands for the gradient of the state that a later piece started from.
TEST_F(FusedOps, MlgruBackwardFromTheLastState) {
  const Shape steps{1, 2, 1}, one{1, 1};
  const Tensor f = tensor(steps, {0, 0}), c = tensor(steps, {0, 0}), h = tensor(steps, {2, 1});
  const Tensor initial = tensor(one, {4}), df = tensor(steps, {0, 0}), dinitial = tensor(one, {0});
  cpu_.run(MlgruBackward{.df_in = {df},
                         .dinitial = {dinitial},
                         .dlast = tensor(one, {8}),
                         .h = h,
                         .f_in = f,
                         .c_in = c,
                         .initial = initial});
  expect(download_real(df), {4 * 4 / 4.0, 8 * 2 / 4.0});
  expect(download_real(dinitial), {2});
}

TEST_F(FusedOps, CrossEntropy) {
  // logits (0, ln 2, 0): probabilities (1/4, 1/2, 1/4); the second row is ignored
  const Var x = input({2, 1}, {1, 5}), w = input({3, 1}, {0, ln2, 0});
  const CrossEntropyOutput y = cross_entropy(
      {.codes = x}, {.codes = w}, upload_ids(cpu_, {2}, {1, kIgnoreIndex}), tensor({1}, {0.5}));
  expect(y.loss, {ln2 / 2});
  expect(download_real(y.losses), {ln2, 0});
  tape_.backward(y.loss);
  // dlogits = (1/4, -1/2, 1/4) / 2
  expect_gradient(x, {-ln2 / 4, 0});
  expect_gradient(w, {0.125, -0.25, 0.125});
}

TEST_F(FusedOps, CrossEntropyOfTernaryCodes) {
  // codes 127 / 127 and (1, -1) / (1/2): logits (2, -2)
  const Var x = input({1, 1}, {1}), w = input({2, 1}, {2, -2});
  const Tensor targets = upload_ids(cpu_, {1}, {0}), weight = tensor({1}, {1});
  const Var loss = cross_entropy(quantize_rows(x), quantize_ternary(w), targets, weight).loss;
  expect(loss, {std::log1p(std::exp(-4.0))});
  tape_.backward(loss);
  const double p = 1 / (1 + std::exp(4.0));  // of the other class
  expect_gradient(x, {-4 * p});
  expect_gradient(w, {-p, p});
}

TEST_F(FusedOps, TokenScores) {
  // logits of the rows: (0, ln 2, 0), twice as much, minus that; in chunks of two rows and one
  const Var x = input({4, 1}, {1, 2, -1, 1}), w = input({3, 1}, {0, ln2, 0});
  const TokenScores y =
      token_scores({.codes = x}, {.codes = w}, upload_ids(cpu_, {4}, {1, 0, 1, kIgnoreIndex}), 2);
  expect(download_real(y.losses), {ln2, std::log(6), std::log(5), 0});
  EXPECT_THAT(std::vector<std::int32_t>(y.likeliest.data<std::int32_t>(),
                                        y.likeliest.data<std::int32_t>() + 4),
              testing::ElementsAre(1, 1, 0, 1));
}

}  // namespace
}  // namespace tern
