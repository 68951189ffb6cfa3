// Gradients of parameters that are kept in bf16 beside f32, on paper: computed and added in f32,
// rounded once, to nearest, halves to even.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/backend.h"
#include "core/bfloat16.h"
#include "core/cpu/cpu_backend.h"
#include "core/dry/dry_backend.h"
#include "core/parameter_pack.h"
#include "core/workspace.h"
#include "tests/support/complaint.h"

namespace tern {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Values = std::vector<double>;

float stored(float x) {
  return to_real(to_stored<BFloat16>(x));
}

// Between 1 and 2 bf16 has steps of 2^-7.
TEST(StoredGradients, RoundToNearestHalvesToEven) {
  EXPECT_EQ(stored(1 + 0x1p-8f), 1);
  EXPECT_EQ(stored(1 + 0x1p-8f + 0x1p-20f), 1 + 0x1p-7f);
  EXPECT_EQ(stored(1 + 3 * 0x1p-8f), 1 + 2 * 0x1p-7f);
  EXPECT_EQ(stored(-1 - 3 * 0x1p-8f), -1 - 2 * 0x1p-7f);
  EXPECT_EQ(stored(0x1.ffp127f), INFINITY);
  EXPECT_EQ(stored(-INFINITY), -INFINITY);
  EXPECT_TRUE(std::isnan(stored(NAN)));
  EXPECT_TRUE(std::isnan(to_real(to_stored<BFloat16>(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_EQ(std::bit_cast<std::uint32_t>(stored(-0.0f)), 0x80000000u);
}

class StoredKernels : public testing::Test {
 protected:
  Tensor single(const Shape& shape, const Values& values) {
    const Tensor t(cpu_, shape, DType::f32);
    upload_real(t, values);
    return t;
  }
  // holds these numbers, and more is added to them
  Grad holding(const Shape& shape, const Values& values) {
    const Tensor t(cpu_, shape, DType::bf16);
    upload_real(t, values);
    return {t, true};
  }
  CpuBackend cpu_{1 << 20};
};

// dw = dy x is 2^-8 + 2^-16, which bf16 does not hold either: rounded by itself it would be 2^-8,
// and 1 + 2^-8 would stay 1. The sum in f32 is above the middle of 1 and 1 + 2^-7.
TEST_F(StoredKernels, WhatIsAddedIsNotRoundedByItself) {
  const Values dy{0x1p-8 + 0x1p-16};
  const Tensor one = single({1, 1}, {1}), x = single({1, 1}, {1});
  const Grad matmul = holding({1, 1}, {1});
  cpu_.run(MatmulBackward{.dw = matmul, .dy = single({1, 1}, dy), .x = x, .w = one});
  EXPECT_THAT(download_real(matmul.to), ElementsAre(1 + 0x1p-7));
  const Grad table = holding({2, 1}, {1, 5});
  const Tensor ids = upload_ids(cpu_, {1}, {0});
  cpu_.run(EmbeddingBackward{.dtable = table, .dy = single({1, 1}, dy), .ids = ids});
  EXPECT_THAT(download_real(table.to), ElementsAre(1 + 0x1p-7, 5));
  const Grad sum = holding({1}, {1});
  cpu_.run(Accumulate{.to = sum, .x = single({1}, {1}), .factor = dy[0]});
  EXPECT_THAT(download_real(sum.to), ElementsAre(1 + 0x1p-7));
}

// Rows of one id: 1 + 2^-8 + 2^-8 = 1 + 2^-7 exactly; rounded after each it would stay 1.
TEST_F(StoredKernels, RowsOfOneIdAreRoundedTogether) {
  const Tensor dy = single({4, 1}, {1, 3, 0x1p-8, 0x1p-8});
  const Tensor ids = upload_ids(cpu_, {4}, {1, 0, 1, 1}), table(cpu_, {3, 1}, DType::bf16);
  cpu_.run(EmbeddingBackward{.dtable = {table}, .dy = dy, .ids = ids});
  EXPECT_THAT(download_real(table), ElementsAre(3, 1 + 0x1p-7, 0));
}

// dw = (q / row_scale)^T dy over two rows, row_scale 2: 1 * 2 / 2 + 2^-7 * 1 / 2 = 1 + 2^-8, even:
// 1; with 5/2 there it is 3.5 + 2^-8, in steps of 2^-6. Widths for every kernel of the CPU.
TEST_F(StoredKernels, TernaryProducts) {
  for (const Index I : {1, 3, 16, 80}) {
    const Tensor q(cpu_, {2, I}, DType::i8), t(cpu_, {1, I}, DType::i8);
    cpu_.fill(q, 1), cpu_.fill(t, 1);
    TernaryProductBackward a{.dw = {Tensor(cpu_, {1, I}, DType::bf16)},
                             .dy = single({2, 1}, {2, 0x1p-7}),
                             .x = {.q = q, .row_scale = single({2}, {2, 2})},
                             .w = {.t = t, .scale = single({1}, {1})}};
    cpu_.run(a);
    EXPECT_EQ(download_real(a.dw.to), Values(std::size_t(I), 1)) << I;
    a.dw = holding({1, I}, Values(std::size_t(I), 2.5));
    cpu_.run(a);
    EXPECT_EQ(download_real(a.dw.to), Values(std::size_t(I), 3.5)) << I;
    a.dw = holding({1, I}, Values(std::size_t(I), 0x1p-7));  // 1 + 3 * 2^-8: up, to even
    cpu_.run(a);
    EXPECT_EQ(download_real(a.dw.to), Values(std::size_t(I), 1 + 2 * 0x1p-7)) << I;
  }
}

// On a GPU dW of many rows is made in parts. They are added in f32, in workspace of their own.
TEST(StoredGradients, PartsOfAProductAreAddedInSinglePrecision) {
  DryBackend dry(DeviceTraits::h200());
  constexpr Index O = 64, I = 4096, N = 40'000;
  ASSERT_EQ(rows_expanded(N, I), 32'768);
  const auto bytes = [&](Index rows, DType gradients) {
    return workspace_bytes(
        TernaryProductBackward{
            .dw = {Tensor(dry, {O, I}, gradients)},
            .dy = Tensor(dry, {rows, O}, DType::bf16),
            .x = {.q = Tensor(dry, {rows, I}, DType::i8),
                  .row_scale = Tensor(dry, {rows}, DType::f32)},
            .w = {.t = Tensor(dry, {O, I}, DType::i8), .scale = Tensor(dry, {1}, DType::f32)}},
        dry.traits());
  };
  EXPECT_EQ(bytes(N, DType::bf16) - bytes(N, DType::f32), std::size_t(4 * O * I));
  EXPECT_EQ(bytes(32'768, DType::bf16), bytes(32'768, DType::f32));
}

TEST(StoredGradients, AreOneBufferOfThePack) {
  CpuBackend cpu(1 << 20);
  Parameter w{.name = "w", .shape = {3}}, n{.name = "n", .shape = {2}};
  const ParameterPack pack(cpu, {&w, &n}, {.gradients = DType::bf16});
  EXPECT_EQ(pack.values().dtype(), DType::f32);
  EXPECT_EQ(pack.gradients().dtype(), DType::bf16);
  EXPECT_EQ(2 * pack.gradients().bytes(), pack.values().bytes());
  EXPECT_EQ(n.grad.tensor.dtype(), DType::bf16);
  const auto refused = [&](DType dtype, DType gradients) {
    return complaint([&] { ParameterPack(cpu, {&w}, {.dtype = dtype, .gradients = gradients}); });
  };
  EXPECT_THAT(
      refused(DType::f64, DType::bf16),
      HasSubstr(
          "[ParameterPack] expected gradients in f64, or in bf16 with f32 parameters, got bf16"));
  EXPECT_THAT(refused(DType::f32, DType::f64), HasSubstr("got f64"));
}

}  // namespace
}  // namespace tern
