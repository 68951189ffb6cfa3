// Every op on the GPU against the CPU, its bits twice, and its memory against the plan.
#include <gtest/gtest.h>

#include "core/cpu/cpu_backend.h"
#include "core/dry/dry_backend.h"
#include "tests/cuda/gpu.h"
#include "tests/support/op_cases.h"
#include "tests/support/tolerances.h"

namespace tern {

void PrintTo(const OpCase& op, std::ostream* out) {
  *out << op.name;
}

namespace {

constexpr std::size_t kSlab = std::size_t(512) << 20;

// What bf16 makes of the activations among the inputs; parameters keep f32.
std::vector<Values> rounded(const OpCase& op, std::vector<Values> point) {
  for (std::size_t i = 0; i < point.size(); ++i)
    if (!op.inputs[i].parameter) point[i] = rounded_to_bf16(point[i]);
  return point;
}

Values joined(const std::vector<Values>& parts) {
  Values all;
  for (const Values& v : parts) all.insert(all.end(), v.begin(), v.end());
  return all;
}

class CudaOp : public GpuTest, public testing::WithParamInterface<OpCase> {
 protected:
  void compare(DType dtype, const std::vector<Values>& point, double tolerance,
               DType gradients = DType::f32) {
    CpuBackend cpu(kSlab);
    const OpRun want = run_case(cpu, DType::f64, GetParam(), point);
    const OpRun got = run_case(gpu(kSlab), dtype, GetParam(), point, 1, gradients);
    ASSERT_EQ(got.outputs.size(), want.outputs.size());
    for (std::size_t i = 0; i < got.outputs.size(); ++i)
      EXPECT_LE(relative_error(got.outputs[i], want.outputs[i]), tolerance)
          << dtype << " output " << i;
    // All gradients on one scale: with one element to a row, that by x is zero up to cancellation.
    EXPECT_LE(relative_error(joined(got.gradients), joined(want.gradients)), tolerance)
        << dtype << " gradients";
    EXPECT_EQ(run_case(gpu(kSlab), dtype, GetParam(), point, 1, gradients), got)
        << dtype << " a second time";
  }
};

TEST_P(CudaOp, SinglePrecisionAgreesWithTheCpu) {
  compare(DType::f32, sample(GetParam()), tolerance::kSinglePrecision);
}

TEST_P(CudaOp, HalfPrecisionAgreesWithTheCpu) {
  compare(DType::bf16, rounded(GetParam(), sample(GetParam())), tolerance::kHalfPrecision);
}

// Gradients that are stored in bf16 beside f32 activations are those in f32, rounded once a pass;
// beside bf16 activations the library may add in another order.
TEST_P(CudaOp, StoredGradientsAreRoundedOnce) {
  const OpCase& op = GetParam();
  compare(DType::bf16, rounded(op, sample(op)), tolerance::kHalfPrecision, DType::bf16);
  if (op.adds_up) return compare(DType::f32, sample(op), tolerance::kHalfPrecision, DType::bf16);
  const auto gradients = [&](int passes, DType stored) {
    return run_case(gpu(kSlab), DType::f32, op, sample(op), passes, stored).gradients;
  };
  const auto exact = gradients(1, DType::f32), once = gradients(1, DType::bf16),
             twice = gradients(2, DType::bf16);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    EXPECT_EQ(once[i], rounded_to_bf16(exact[i])) << i;
    Values sum = once[i];
    for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += exact[i][k];
    EXPECT_EQ(twice[i], rounded_to_bf16(sum)) << i;
  }
}

TEST_P(CudaOp, TakesTheMemoryOfThePlan) {
  for (const DType gradients : {DType::f32, DType::bf16})
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const auto run = [&](Backend& on) {
        run_case(on, dtype, GetParam(), sample(GetParam()), 1, gradients);
        return on.pool().high_water();
      };
      DryBackend dry(gpu(kSlab).traits());
      const std::size_t planned = run(dry);
      CudaBackend exact(0, planned);  // not one byte more
      EXPECT_EQ(run(exact), planned);
    }
}

// Sizes at which a GPU divides its work in other ways than at those of op_cases().
std::vector<OpCase> wide_cases() {
  return {
      // more columns than multiprocessors: clusters of 1, 2 and, as in training, 4 blocks
      mlgru_case(8, 130, 2112, true, true), mlgru_case(9, 150, 2100, true, true),
      mlgru_case(20, 260, 1020, false, true), mlgru_case(9, 520, 1000, true, true),
      // fewer: blocks of several groups in clusters of 2, 4 and 8, whose turns end within a turn
      mlgru_case(2, 700, 520, true, true), mlgru_case(1, 820, 70, true, true),
      mlgru_case(1, 1590, 72, true, true), mlgru_case(3, 1000, 72, true, false),
      mlgru_case(1, 5000, 68, true, false),
      // more rows than blocks, not quantised: among so many codes some lie at a tie
      gated_norm_quantize_case(1500, 1024, false),
      cross_entropy_case(600, 264, 8, {.ignore_every = 5, .quantized = false}),
      // rows held in registers: more than blocks, and the head's
      cross_entropy_case(600, 8200, 8, {.ignore_every = 5, .quantized = false}),
      cross_entropy_case(3, 32000, 8, {.quantized = false}),
      cross_entropy_case(3, 32776, 8, {.quantized = false}),  // one too wide for that
      // more rows than blocks, a and b apart; and rows of a model
      swiglu_norm_quantize_case(1500, 1024, false, false), swiglu_case(300, 2816),
      swiglu_case(70, 6912), swiglu_case(9, 1001),
      // sequences of several blocks; heads of a model, and of odd halves
      rotary_case(9, 130, 256, {.heads = 2}, true),
      rotary_case(2, 20, 2560, {.heads = 20, .first = 5000}, false),
      rotary_case(3, 7, 1024, {.heads = 16}, true), rotary_case(2, 5, 60, {.heads = 2}, true),
      rotary_case(2, 3, 800, {.heads = 1}, false),
      rotary_case(2, 9, 256, {.heads = 2, .ternary = true}, true),
      rotary_case(2, 5, 90, {.heads = 3, .ternary = true}, false),
      rotary_in_place_case(3, 70, 256, {.heads = 2, .first = 9}),
      rotary_in_place_case(2, 5, 60, {.heads = 2, .ternary = true}),
      // the library's sizes in bf16; ragged tiles, heads wider than a slab
      attention_case(2, 130, 128, 2), attention_case(1, 256, 256, 2),
      attention_case(1, 1000, 128, 1), attention_case(1, 2048, 256, 2),
      attention_case(3, 65, 80, 1), attention_case(1, 130, 402, 2), attention_case(1, 70, 258, 1),
      attention_case(2, 200, 21, 3)};
}

INSTANTIATE_TEST_SUITE_P(All, CudaOp, testing::ValuesIn(op_cases()),
                         [](const auto& c) { return c.param.name; });
INSTANTIATE_TEST_SUITE_P(Wide, CudaOp, testing::ValuesIn(wide_cases()),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace tern
