// Every op on the GPU against the CPU, its bits twice, and its memory against the plan.
#include <gtest/gtest.h>

#include <bit>

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
    for (double& x : point[i]) {
      const auto bits = std::bit_cast<std::uint32_t>(float(x));
      const std::uint32_t half = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
      x = op.inputs[i].parameter ? double(float(x)) : double(std::bit_cast<float>(half));
    }
  return point;
}

Values joined(const std::vector<Values>& parts) {
  Values all;
  for (const Values& v : parts) all.insert(all.end(), v.begin(), v.end());
  return all;
}

class CudaOp : public GpuTest, public testing::WithParamInterface<OpCase> {
 protected:
  void compare(DType dtype, const std::vector<Values>& point, double tolerance) {
    CpuBackend cpu(kSlab);
    const OpRun want = run_case(cpu, DType::f64, GetParam(), point);
    const OpRun got = run_case(gpu(kSlab), dtype, GetParam(), point);
    ASSERT_EQ(got.outputs.size(), want.outputs.size());
    for (std::size_t i = 0; i < got.outputs.size(); ++i)
      EXPECT_LE(relative_error(got.outputs[i], want.outputs[i]), tolerance)
          << dtype << " output " << i;
    // All gradients on one scale: with one element to a row, that by x is zero up to cancellation.
    EXPECT_LE(relative_error(joined(got.gradients), joined(want.gradients)), tolerance)
        << dtype << " gradients";
    EXPECT_EQ(run_case(gpu(kSlab), dtype, GetParam(), point), got) << dtype << " a second time";
  }
};

TEST_P(CudaOp, SinglePrecisionAgreesWithTheCpu) {
  compare(DType::f32, sample(GetParam()), tolerance::kSinglePrecision);
}

TEST_P(CudaOp, HalfPrecisionAgreesWithTheCpu) {
  compare(DType::bf16, rounded(GetParam(), sample(GetParam())), tolerance::kHalfPrecision);
}

TEST_P(CudaOp, TakesTheMemoryOfThePlan) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    DryBackend dry(gpu(kSlab).traits());
    run_case(dry, dtype, GetParam(), sample(GetParam()));
    CudaBackend exact(0, dry.pool().high_water());  // not one byte more
    run_case(exact, dtype, GetParam(), sample(GetParam()));
    EXPECT_EQ(exact.pool().high_water(), dry.pool().high_water());
  }
}

// Sizes at which a GPU divides its work in other ways than at those of op_cases().
std::vector<OpCase> wide_cases() {
  return {
      // a column to a block: all resident, or more
      mlgru_case(8, 130, 2112, true, true), mlgru_case(9, 150, 2100, true, true),
      mlgru_case(20, 260, 1020, false, true),
      mlgru_case(2, 700, 520, true, true),  // blocks of several groups, some in clusters
      // clusters of 2, 4 and 8 blocks, whose turns end within a turn
      mlgru_case(1, 820, 70, true, true), mlgru_case(1, 1590, 72, true, true),
      mlgru_case(3, 1000, 72, true, false), mlgru_case(1, 5000, 68, true, false),
      // more rows than blocks, not quantised: among so many codes some lie at a tie
      gated_norm_quantize_case(1500, 1024, false),
      cross_entropy_case(600, 264, 8, {.ignore_every = 5, .quantized = false}),
      // rows held in registers: more than blocks, and the head's
      cross_entropy_case(600, 8200, 8, {.ignore_every = 5, .quantized = false}),
      cross_entropy_case(3, 32000, 8, {.quantized = false}),
      cross_entropy_case(3, 32776, 8, {.quantized = false}),  // one too wide for that
  };
}

INSTANTIATE_TEST_SUITE_P(All, CudaOp, testing::ValuesIn(op_cases()),
                         [](const auto& c) { return c.param.name; });
INSTANTIATE_TEST_SUITE_P(Wide, CudaOp, testing::ValuesIn(wide_cases()),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace tern
