// A shape that does not fit is named together with what it was compared with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "autograd/ops.h"
#include "core/backend.h"
#include "core/cpu/cpu_backend.h"
#include "tests/support/complaint.h"

namespace tern {
namespace {

using testing::HasSubstr;

class OpErrors : public testing::Test {
 protected:
  Var var(const Shape& shape, DType dtype = DType::f64) {
    const Tensor t(cpu_, shape, dtype);
    cpu_.fill(t, 1);
    return {t};
  }
  template <class Call>
  void expect(const std::string& text, Call&& call) {
    EXPECT_THAT(complaint(call), HasSubstr(text));
  }
  CpuBackend cpu_{1 << 20};
};

TEST_F(OpErrors, ElementsAndAxes) {
  expect("[add] expected b to be the trailing dimensions of a, a is (2, 3) f64, b is (2) f64", [&] {
    add(var({2, 3}), var({2}));
  });
  expect("a is (3) f64, b is (2, 3) f64", [&] { multiply(var({3}), var({2, 3})); });
  expect("a is (3) f64, b is (3) f32", [&] { subtract(var({3}), var({3}, DType::f32)); });
  expect("b is (0) f64", [&] { add(var({2, 0}), var({0})); });
  expect("[softmax] expected an axis of x, got axis 2, x is (2, 3) f64", [&] {
    softmax(var({2, 3}), 2);
  });
  expect("[cumsum] expected an axis of x, got axis -3", [&] { cumsum(var({2, 3}), -3); });
  expect("[sum] expected an axis of x, got axis 0, x is (0, 3) f64", [&] { sum(var({0, 3}), 0); });
  expect("[Tensor] expected a tensor, got nothing", [&] { silu({}); });
}

TEST_F(OpErrors, Views) {
  expect("[slice] rows 2 to 4 of (3, 2) f64", [&] { slice(var({3, 2}), 2, 2); });
  expect("[slice] rows -1 to 0 of (3, 2) f64", [&] { slice(var({3, 2}), -1, 1); });
  expect("[reshape] expected 6 elements, got (2, 2)", [&] { reshape(var({3, 2}), {2, 2}); });
  expect("[concatenate] expected rows like those of (1, 2, 6) f64, got (1, 3, 4) f64", [&] {
    concatenate({var({1, 2, 6}), var({1, 3, 4})});
  });
  expect("[concatenate] expected at least one part", [&] { concatenate({}); });
  expect("[embedding] expected i32 ids, got (2) f64", [&] {
    embedding(var({3, 2}), var({2}).value);
  });
  const Tensor ids = upload_ids(cpu_, {2}, {0, 2});
  const Tensor scales = var({3}).value;
  expect("scales (3), table is (3, 2) i8, scales are nothing", [&] {
    embedding(var({3, 2}, DType::i8), ids, DType::f64);
  });
  expect("scales (3), table is (3, 2) i8, scales are (2) f64", [&] {
    embedding(var({3, 2}, DType::i8), ids, DType::f64, var({2}).value);
  });
  expect("scales (3), table is (3, 2) f64, scales are (3) f64", [&] {
    embedding(var({3, 2}), ids, {}, scales);
  });
  expect("[embedding] rows: expected a real type, got i8", [&] {
    embedding(var({3, 2}, DType::i8), ids, {}, scales);
  });
}

TEST_F(OpErrors, Products) {
  expect("[matmul] inner dimensions differ: x is (2, 3) f64, w is (4, 5) f64", [&] {
    matmul(var({2, 3}), var({4, 5}));
  });
  expect("x is (0, 3) f64, w is (4, 3) f64", [&] { matmul(var({0, 3}), var({4, 3})); });
  const QuantizedVar x = quantize_rows(var({2, 3})), w = quantize_ternary(var({4, 5}));
  expect("[ternary_product] inner dimensions differ: x is (2, 3) i8, w is (4, 5) i8",
         [&] { ternary_product(x, w); });
  expect("expected scales (2) and (1), got (2) f64 and nothing", [&] {
    ternary_product(x, {.codes = quantize_ternary(var({4, 3})).codes});
  });
  // 2^24 / 127: beyond it f32 no longer holds every sum of products
  const QuantizedVar wide{.codes = var({1, 132105}, DType::i8),
                          .scale = var({1}, DType::f32).value};
  expect("[ternary_product] expected at most 132104 inputs, x is (1, 132105) i8",
         [&] { ternary_product(wide, wide); });
  Parameter latent{.value = var({4, 3}).value, .grad = {.tensor = var({4, 3}).value}};
  Tape tape;
  QuantizedVar tiles = quantize_ternary(tape.leaf(latent));
  tiles.codes.value = Tensor(cpu_, {4, 3}, DType::t2);
  expect("[ternary_product] expected no tape, since weights at two bits have no backward pass",
         [&] { ternary_product(x, tiles); });
  expect("[cross_entropy] expected no tape, since weights at two bits have no backward pass", [&] {
    cross_entropy(x, tiles, upload_ids(cpu_, {2}, {0, 3}), var({1}).value);
  });
  expect("[rms_norm] expected rows of 4, x is (2, 3) f64, w is (4) f64", [&] {
    rms_norm(var({2, 3}), var({4}));
  });
}

TEST_F(OpErrors, FusedNorms) {
  const Var x = var({2, 3}), w = var({3});
  expect("[norm_quantize] branch must match x: x is (2, 3) f64, branch is (3, 2) f64", [&] {
    norm_quantize(x, var({3, 2}), {}, {w}, 1e-6);
  });
  expect("[norm_quantize] expected 1 to 3 weights, got 4", [&] {
    norm_quantize(x, {}, {}, {w, w, w, w}, 1e-6);
  });
  expect("[norm_quantize] weight: expected (3) f64, got (2) f64", [&] {
    norm_quantize(x, {}, {}, {w, var({2})}, 1e-6);
  });
  expect("[norm_quantize] block_weight: expected (3) f64, got (3) f32",
         [&] { norm_quantize(x, {}, var({3}, DType::f32), {w}, 1e-6); });
  expect("[norm_quantize] x (N, D): expected rank 2, got (3) f64",
         [&] { norm_quantize(w, {}, {}, {w}, 1e-6); });
  expect("[norm_quantize] x (N, D): expected no empty dimension, got (0, 3) f64", [&] {
    norm_quantize(var({0, 3}), {}, {}, {w}, 1e-6);
  });
  expect("[gated_norm_quantize] h must match g: h is (1, 3) f64, g is (2, 3) f64", [&] {
    gated_norm_quantize(x, var({1, 3}), w, w, 1e-6);
  });
  expect("[gated_norm_quantize] g_weight: expected (3) f64, got nothing",
         [&] { gated_norm_quantize(x, x, {}, w, 1e-6); });
  expect("[swiglu_norm_quantize] expected an even width, ab is (2, 3) f64",
         [&] { swiglu_norm_quantize(x, w, 1e-6); });
  expect("[swiglu_norm_quantize] weight: expected (2) f64, got (3) f64", [&] {
    swiglu_norm_quantize(var({2, 4}), w, 1e-6);
  });
  expect("[dequantize] expected a scale for each of 2 rows, got (1) f64",
         [&] { dequantize({.codes = x, .scale = var({1}).value}); });
}

TEST_F(OpErrors, RecurrenceAndLoss) {
  const Var f = var({1, 2, 3});
  expect("[mlgru] c_in must match f_in: c_in is (1, 3, 2) f64, f_in is (1, 2, 3) f64", [&] {
    mlgru(f, var({1, 3, 2}));
  });
  expect("[mlgru] bound: expected (3), got (2) f64", [&] { mlgru(f, f, var({2})); });
  expect("[mlgru] initial: expected (1, 3), got (3) f64", [&] { mlgru(f, f, {}, var({3})); });
  expect("[mlgru] f_in (B, T, D): expected no empty dimension, got (1, 0, 3) f64", [&] {
    mlgru(var({1, 0, 3}), var({1, 0, 3}));
  });
  const QuantizedVar x{.codes = var({2, 3})}, w{.codes = var({5, 3})};
  const Tensor ids = upload_ids(cpu_, {2}, {1, 4}), weight = var({1}).value;
  expect("[cross_entropy] inner dimensions differ: x is (2, 3) f64, w is (5, 4) f64", [&] {
    cross_entropy(x, {.codes = var({5, 4})}, ids, weight);
  });
  expect("[cross_entropy] targets: expected (2) i32, got (2) f64",
         [&] { cross_entropy(x, w, var({2}).value, weight); });
  expect("[cross_entropy] weight: expected (1), got nothing",
         [&] { cross_entropy(x, w, ids, {}); });
  expect("[cross_entropy] expected V and rows_per_chunk > 0",
         [&] { cross_entropy(x, w, ids, weight, 0); });
  expect("[token_scores] inner dimensions differ: x is (2, 3) f64, w is (5, 4) f64", [&] {
    token_scores(x, {.codes = var({5, 4})}, ids);
  });
  expect("[token_scores] targets: expected (2) i32, got (2) f64",
         [&] { token_scores(x, w, var({2}).value); });
}

}  // namespace
}  // namespace tern
