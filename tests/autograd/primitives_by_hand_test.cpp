// Each primitive worked out on paper: value and gradient.
#include <cmath>

#include "autograd/ops.h"
#include "tests/support/by_hand.h"

namespace tern {
namespace {

using testing::ElementsAre;

const double ln2 = std::log(2), ln3 = std::log(3);

using Primitives = ByHand;

TEST_F(Primitives, Exp) {
  const Var x = input({3}, {0, ln2, -ln2});
  const Var y = exp(x);
  expect(y, {1, 2, 0.5});
  backward(y, {1, 1, 10});
  expect_gradient(x, {1, 2, 5});
}

TEST_F(Primitives, Sigmoid) {
  const Var x = input({3}, {0, ln3, -ln3});
  const Var y = sigmoid(x);
  expect(y, {0.5, 0.75, 0.25});
  backward(y, {1, 1, 2});
  expect_gradient(x, {0.25, 0.1875, 0.375});  // y (1 - y)
}

TEST_F(Primitives, Silu) {
  const Var x = input({2}, {0, ln3});
  const Var y = silu(x);
  expect(y, {0, 0.75 * ln3});
  backward(y, {1, 2});
  expect_gradient(x, {0.5, 2 * (0.75 + ln3 * 0.1875)});  // s + x s (1 - s)
}

TEST_F(Primitives, Reciprocal) {
  const Var x = input({3}, {1, 2, -4});
  const Var y = reciprocal(x);
  expect(y, {1, 0.5, -0.25});
  backward(y, {1, 1, 1});
  expect_gradient(x, {-1, -0.25, -0.0625});
}

TEST_F(Primitives, AddARowToAMatrix) {
  const Var x = input({2, 2}, {1, 2, 3, 4}), w = input({2}, {10, 20});
  const Var y = add(x, w);
  expect(y, {11, 22, 13, 24});
  backward(y, {1, 2, 3, 4});
  expect_gradient(x, {1, 2, 3, 4});
  expect_gradient(w, {1 + 3, 2 + 4});
}

TEST_F(Primitives, SubtractARowFromAMatrix) {
  const Var x = input({2, 2}, {1, 2, 3, 4}), w = input({2}, {10, 20});
  const Var y = subtract(x, w);
  expect(y, {-9, -18, -7, -16});
  backward(y, {1, 2, 3, 4});
  expect_gradient(x, {1, 2, 3, 4});
  expect_gradient(w, {-4, -6});
}

TEST_F(Primitives, MultiplyByOneNumber) {
  const Var x = input({3}, {1, 2, 3}), w = input({1}, {5});
  const Var y = multiply(x, w);
  expect(y, {5, 10, 15});
  backward(y, {1, 10, 100});
  expect_gradient(x, {5, 50, 500});
  expect_gradient(w, {1 + 20 + 300});
}

TEST_F(Primitives, Scale) {
  const Var x = input({3}, {1, 2, 3});
  const Var y = scale(x, -2);
  expect(y, {-2, -4, -6});
  backward(y, {1, 2, 3});
  expect_gradient(x, {-2, -4, -6});
}

TEST_F(Primitives, Sum) {
  const Var x = input({2, 3}, {1, 2, 3, 4, 5, 6});
  const Var y = sum(x, 0);
  EXPECT_EQ(y.value.shape(), (Shape{3}));
  expect(y, {5, 7, 9});
  backward(y, {1, 10, 100});
  expect_gradient(x, {1, 10, 100, 1, 10, 100});
}

TEST_F(Primitives, SumOfAVectorIsOneElement) {
  const Var y = sum(input({3}, {1, 2, 3}), -1);
  EXPECT_EQ(y.value.shape(), (Shape{1}));
  expect(y, {6});
}

TEST_F(Primitives, Softmax) {
  const Var x = input({3}, {0, ln2, 0});
  const Var y = softmax(x, 0);
  expect(y, {0.25, 0.5, 0.25});
  backward(y, {4, 0, 0});  // dx = y (dy - sum dy y) = y (dy - 1)
  expect_gradient(x, {0.75, -0.5, -0.25});
}

TEST_F(Primitives, Cumsum) {
  const Var x = input({2, 3}, {1, 2, 3, 4, 5, 6});
  const Var y = cumsum(x, 1);
  expect(y, {1, 3, 6, 4, 9, 15});
  backward(y, {1, 10, 100, 1, 1, 1});
  expect_gradient(x, {111, 110, 100, 3, 2, 1});
}

TEST_F(Primitives, Matmul) {
  // x (1, 2) times w (3, 2) transposed
  const Var x = input({1, 2}, {1, 2}), w = input({3, 2}, {1, 0, 0, 1, 3, -1});
  const Var y = matmul(x, w);
  expect(y, {1, 2, 1});
  backward(y, {1, 10, 100});
  expect_gradient(x, {1 + 300, 10 - 100});
  expect_gradient(w, {1, 2, 10, 20, 100, 200});
}

TEST_F(Primitives, RmsNorm) {
  // mean(1, 49) = 25, so rstd = 1/5
  const Var x = input({1, 2}, {1, 7}), w = input({2}, {1, 2});
  const Var y = rms_norm(x, w, 0);
  expect(y, {0.2, 2.8});
  backward(y, {1, 0});
  // z = (1, 0); dx = rstd (z - x rstd^2 mean(z x)) = 0.2 (z - 0.02 x)
  expect_gradient(x, {0.196, -0.028});
  expect_gradient(w, {0.2, 0});
}

TEST_F(Primitives, RmsNormAddsEpsilonToTheMeanSquare) {
  expect(rms_norm(input({1, 2}, {1, 7}), input({2}, {1, 1}), 11), {1 / 6.0, 7 / 6.0});
}

TEST_F(Primitives, Embedding) {
  const Var x = input({3, 2}, {1, 2, 3, 4, 5, 6});
  const Var y = embedding(x, upload_ids(cpu_, {3}, {2, 0, 2}));
  expect(y, {5, 6, 1, 2, 5, 6});
  backward(y, {1, 2, 3, 4, 10, 20});
  expect_gradient(x, {3, 4, 0, 0, 11, 22});
}

TEST_F(Primitives, Slice) {
  const Var x = input({3, 2}, {1, 2, 3, 4, 5, 6});
  const Var y = slice(x, 1, 1);
  EXPECT_EQ(y.value.shape(), (Shape{1, 2}));
  expect(y, {3, 4});
  backward(y, {7, 8});
  expect_gradient(x, {0, 0, 7, 8, 0, 0});
}

TEST_F(Primitives, Reshape) {
  const Var x = input({3, 2}, {1, 2, 3, 4, 5, 6});
  const Var y = reshape(x, {2, 3});
  EXPECT_EQ(y.value.shape(), (Shape{2, 3}));
  expect(y, {1, 2, 3, 4, 5, 6});
  backward(y, {6, 5, 4, 3, 2, 1});
  expect_gradient(x, {6, 5, 4, 3, 2, 1});
}

TEST_F(Primitives, Concatenate) {
  const Var x = input({1, 2}, {1, 2}), w = input({2, 2}, {3, 4, 5, 6});
  const Var y = concatenate({x, w});
  EXPECT_EQ(y.value.shape(), (Shape{3, 2}));
  expect(y, {1, 2, 3, 4, 5, 6});
  backward(y, {1, 2, 3, 4, 5, 6});
  expect_gradient(x, {1, 2});
  expect_gradient(w, {3, 4, 5, 6});
}

// A value that is not a number must not disappear in any function.
TEST_F(Primitives, NotANumberStaysOne) {
  for (const double bad : {double(NAN), double(INFINITY), -double(INFINITY)}) {
    const Tensor x = tensor({1, 3}, {1, bad, 2}), w = tensor({3}, {1, 1, 1});
    const Var y = softmax(silu(multiply(rms_norm({x}, {w}), {x})), 1);
    EXPECT_TRUE(std::isnan(download_real(sum(y, 1).value)[0])) << bad;
  }
  const Tensor nan = tensor({3}, {1, NAN, 2});
  for (const auto& y : {exp({nan}), sigmoid({nan}), silu({nan}), reciprocal({nan})})
    EXPECT_THAT(download_real(y.value), ElementsAre(testing::_, testing::IsNan(), testing::_));
}

}  // namespace
}  // namespace tern
