// The backward kernels store the same gradient with 8-bit floats beside it, and those are what
// products make of it.
#include "tests/support/fp8_gradients.h"

#include <gtest/gtest.h>

#include "core/cpu/cpu_backend.h"
#include "core/cpu/e4m3.h"
#include "core/dry/dry_backend.h"
#include "tests/support/complaint.h"

namespace tern {
namespace {

TEST(Fp8Gradients, AreWhatProductsMakeOfTheGradient) {
  CpuBackend cpu(std::size_t(16) << 20);
  for (const auto& [N, D] : {std::pair<Index, Index>{1, 1}, {5, 19}, {67, 48}})
    for (const Fp8Gradient& got : fp8_gradients(cpu, DType::f64, DType::f64, N, D)) {
      EXPECT_TRUE(got.same_codes_alone) << got.kernel;
      const Index columns = Index(got.gradient.size()) / N;
      std::vector<double> rounded(got.gradient.size());
      for (Index n = 0; n < N; ++n) {
        double* const row = &rounded[n * columns];
        const double undo = cpu::round_row_e4m3(row, &got.gradient[n * columns], columns);
        for (Index i = 0; i < columns; ++i) row[i] *= undo;
      }
      for (Index i = 0; i < N * columns; ++i) {
        const double value = double(cpu::value_of({got.codes[i]})) * got.factors[i / columns];
        ASSERT_EQ(std::isnan(value), std::isnan(rounded[i])) << got.kernel << ' ' << i;
        ASSERT_EQ(std::isnan(value), N > 2 && i / columns == 2) << got.kernel << ' ' << i;
        if (std::isnan(value)) continue;
        ASSERT_EQ(value, rounded[i]) << got.kernel << ' ' << i;
        ASSERT_EQ(got.gradient[i], got.alone[i]) << got.kernel << ' ' << i;
      }
    }
}

// The library's copy of dy and its factors, in whole 256 bytes each.
TEST(Fp8Gradients, AreNotInTheProductsWorkspaceAgain) {
  DryBackend dry(DeviceTraits::h200());
  const Index N = 300, O = 272, I = 144;
  TernaryProductBackward a{
      .dx = {Tensor(dry, {N, I}, DType::bf16)},
      .dy = Tensor(dry, {N, O}, DType::bf16),
      .x = {.q = Tensor(dry, {N, I}, DType::i8), .row_scale = Tensor(dry, {N}, DType::f32)},
      .w = {.t = Tensor(dry, {O, I}, DType::i8), .scale = Tensor(dry, {1}, DType::f32)},
      .backward = BackwardProducts::fp8_dx};
  const std::size_t before = workspace_bytes(a, dry.traits());
  a.dy_fp8 = {.codes = Tensor(dry, {N, O}, DType::e4m3), .factors = Tensor(dry, {N}, DType::f32)};
  EXPECT_EQ(before - workspace_bytes(a, dry.traits()), std::size_t(319 + 5) * 256);
}

TernaryProductBackward with_fp8(Backend& on, Index N, Index O, Index I) {
  return {.dx = {Tensor(on, {N, I}, DType::bf16)},
          .dw = {Tensor(on, {O, I}, DType::f32)},
          .dy = Tensor(on, {N, O}, DType::bf16),
          .x = {.q = Tensor(on, {N, I}, DType::i8), .row_scale = Tensor(on, {N}, DType::f32)},
          .w = {.t = Tensor(on, {O, I}, DType::i8), .scale = Tensor(on, {1}, DType::f32)},
          .backward = BackwardProducts::fp8};
}

// One copy of dy, at the end of the workspace, for dx and dw.
TEST(Fp8Gradients, AreRoundedOnceForBothProducts) {
  DryBackend dry(DeviceTraits::h200());
  const Index N = 300, O = 272, I = 144;
  TernaryProductBackward a = with_fp8(dry, N, O, I);
  const Fp8DwRows rows = fp8_dw_rows(a, dry.traits());
  EXPECT_EQ(rows.dy_factors, std::size_t(319) * 256);
  EXPECT_EQ(rows.bytes, std::size_t(319 + 5 + 5 + 1 + 1) * 256);
  const std::size_t of_both = workspace_bytes(a, dry.traits());
  TernaryProductBackward dw_alone = a;
  dw_alone.dx = {};
  EXPECT_EQ(workspace_bytes(dw_alone, dry.traits()), of_both);
  TernaryProductBackward dx_alone = a;
  dx_alone.dw = {};
  EXPECT_EQ(fp8_dw_rows(dx_alone, dry.traits()).bytes, 0u);
  EXPECT_LT(workspace_bytes(dx_alone, dry.traits()), of_both);
  a.dy_fp8 = {.codes = Tensor(dry, {N, O}, DType::e4m3), .factors = Tensor(dry, {N}, DType::f32)};
  EXPECT_EQ(of_both - workspace_bytes(a, dry.traits()), std::size_t(319 + 5) * 256);
}

// A part more is a sum in f32 more to read and to write.
TEST(Fp8Gradients, ADwIsCutWhereItsOperandsPass512MiB) {
  DryBackend dry(DeviceTraits::h200());
  const auto rows = [&](Index N, Index O, Index I) {
    return fp8_dw_operands(with_fp8(dry, N, O, I), dry.traits()).rows;
  };
  EXPECT_EQ(rows(32768, 11264, 2048), 32768);
  EXPECT_EQ(rows(32768, 16384 - 2048, 2048), 32768) << "512 MiB";
  EXPECT_EQ(rows(32768, 16384 - 2032, 2048), 16384);
  // a grid has at most 65535 tiles of 128 rows down; 403 MB
  EXPECT_EQ(rows(8'400'000, 32, 16), 4'200'064);
}

// They are of what is stored now, so a kernel that adds to a gradient cannot make them.
TEST(Fp8Gradients, AreNotMadeOfWhatIsAddedTo) {
  CpuBackend cpu(std::size_t(1) << 20);
  const Tensor ab(cpu, {3, 8}, DType::f64), dab(cpu, {3, 8}, DType::f64),
      dy(cpu, {3, 4}, DType::f64), rstd(cpu, {3}, DType::f64), weight(cpu, {4}, DType::f64);
  const auto run = [&](const Grad& grad) {
    cpu.run(SwigluNormQuantizeBackward{.da = grad,
                                       .da_fp8 = {.codes = Tensor(cpu, {3, 8}, DType::e4m3),
                                                  .factors = Tensor(cpu, {3}, DType::f64)},
                                       .row = {.dy = dy, .weight = weight},
                                       .a = ab,
                                       .rstd = rstd});
  };
  for (const Tensor& t : {ab, dy, rstd, weight}) cpu.fill(t, 1);
  EXPECT_EQ(complaint([&] { run({dab}); }), "");
  EXPECT_NE(complaint([&] {
              run({dab, true});
            }).find("got one that is added to"),
            std::string::npos);
  EXPECT_EQ(complaint([&] { run({}); }), "") << "in 8-bit floats alone";
}

}  // namespace
}  // namespace tern
