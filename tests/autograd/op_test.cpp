// What every op must satisfy, for every OpCase.
#include <gtest/gtest.h>
#include <omp.h>

#include "core/cpu/cpu_backend.h"
#include "core/dry/dry_backend.h"
#include "tests/support/op_cases.h"
#include "tests/support/tolerances.h"

namespace tern {

void PrintTo(const OpCase& op, std::ostream* out) {
  *out << op.name;
}

namespace {

constexpr std::size_t kSlab = std::size_t(64) << 20;

Values joined(const std::vector<Values>& parts) {
  Values all;
  for (const Values& v : parts) all.insert(all.end(), v.begin(), v.end());
  return all;
}

class OpTest : public testing::TestWithParam<OpCase> {
 protected:
  OpTest() { omp_set_num_threads(1); }  // small work: more would only wait for each other
  ~OpTest() override { omp_set_num_threads(omp_get_num_procs()); }
  OpRun run(DType dtype, const OpCase& op) { return run_case(cpu_, dtype, op, sample(op)); }

  void expect_close(const std::vector<Values>& got, const std::vector<Values>& want,
                    double tolerance, const std::string& what) {
    ASSERT_EQ(got.size(), want.size()) << what;
    for (std::size_t i = 0; i < got.size(); ++i)
      EXPECT_LE(relative_error(got[i], want[i]), tolerance) << what << ' ' << i;
  }

  CpuBackend cpu_{kSlab};
};

TEST_P(OpTest, GradientsMatchFiniteDifferences) {
  const GradientError error = gradient_error(cpu_, GetParam());
  EXPECT_LE(error.worst, tolerance::kFiniteDifference) << error.where;
}

TEST_P(OpTest, AgreesWithItsCompositionFromPrimitives) {
  const OpCase& op = GetParam();
  if (!op.composed) return;
  const OpRun fused = run(DType::f64, op), composed = run(DType::f64, composition(op));
  expect_close(fused.outputs, composed.outputs, tolerance::kComposition, "output");
  // On one scale, as below: the fused op divides where the composition multiplies.
  expect_close({joined(fused.gradients)}, {joined(composed.gradients)}, tolerance::kComposition,
               "gradients");
}

TEST_P(OpTest, SinglePrecisionAgreesWithDouble) {
  const OpRun exact = run(DType::f64, GetParam()), single = run(DType::f32, GetParam());
  expect_close(single.outputs, exact.outputs, tolerance::kSinglePrecision, "output");
  // All gradients on one scale: with one element to a row, that by x is zero up to cancellation.
  expect_close({joined(single.gradients)}, {joined(exact.gradients)}, tolerance::kSinglePrecision,
               "gradients");
}

TEST_P(OpTest, BitsDependNeitherOnThreadsNorOnTheRun) {
  const OpRun one = run(DType::f32, GetParam());
  for (const int threads : {1, 2, 3, 5}) {
    omp_set_num_threads(threads);
    EXPECT_EQ(run(DType::f32, GetParam()), one) << threads << " threads";
  }
}

TEST_P(OpTest, BitsDoNotDependOnWhereTheInputsLie) {
  const OpCase& op = GetParam();
  constexpr Index padding = 3;
  const OpCase moved = on_views(op, padding);
  std::vector<Values> point = sample(op);
  const OpRun plain = run_case(cpu_, DType::f32, op, point);
  for (Values& v : point) v.insert(v.begin(), padding, 0.5);
  OpRun views = run_case(cpu_, DType::f32, moved, point);
  for (Values& g : views.gradients) {
    EXPECT_EQ(Values(g.begin(), g.begin() + padding), Values(padding)) << "outside the view";
    g.erase(g.begin(), g.begin() + padding);
  }
  EXPECT_EQ(views, plain);
}

TEST_P(OpTest, RecomputingChangesNoBit) {
  for (const DType dtype : {DType::f32, DType::f64})
    EXPECT_EQ(run(dtype, recomputed(GetParam())), run(dtype, GetParam())) << dtype;
}

TEST_P(OpTest, GradientsAddOverMicroBatches) {
  const OpCase& op = GetParam();
  OpRun once = run_case(cpu_, DType::f64, op, sample(op));
  for (Values& g : once.gradients)
    for (double& e : g) e *= 3;
  const OpRun thrice = run_case(cpu_, DType::f64, op, sample(op), 3);
  expect_close(thrice.gradients, once.gradients, tolerance::kReordered, "gradient");
}

// 2 x as a further output adds 2 r to the gradient of x, whoever writes first.
TEST_P(OpTest, GradientsAddWhenAnInputIsUsedElsewhere) {
  const OpCase& op = GetParam();
  const OpRun alone = run(DType::f64, op);
  for (int i = 0; i < int(op.inputs.size()); ++i) {
    std::vector<Values> want = alone.gradients;
    const Values r = projection(op, alone.outputs.size(), Index(want[i].size()));
    for (std::size_t e = 0; e < r.size(); ++e) want[i][e] += 2 * r[e];
    for (const OpCase& form : {used_before(op, i), used_after(op, i)})
      expect_close(run(DType::f64, form).gradients, want, tolerance::kReordered,
                   form.name + " gradient");
  }
}

// One tensor passed twice has the sum of the two gradients.
TEST_P(OpTest, GradientsAddWhenOneInputIsPassedTwice) {
  const OpCase& op = GetParam();
  for (int i = 0; i < int(op.inputs.size()); ++i)
    for (int j = i + 1; j < int(op.inputs.size()); ++j) {
      if (op.inputs[i].shape != op.inputs[j].shape) continue;
      const OpCase twice = shared(op, i, j);
      std::vector<Values> point = sample(op);
      point[j] = point[i];
      std::vector<Values> want = run_case(cpu_, DType::f64, op, point).gradients;
      for (std::size_t e = 0; e < want[i].size(); ++e) want[i][e] += want[j][e];
      want.erase(want.begin() + j), point.erase(point.begin() + j);
      for (const OpCase& form : {twice, recomputed(twice)})
        expect_close(run_case(cpu_, DType::f64, form, point).gradients, want, tolerance::kReordered,
                     form.name + " gradient");
    }
}

// What is computed in f32 and stored in bf16 is the f32 gradient, rounded; then the sum of that and
// another f32 gradient, rounded.
TEST_P(OpTest, GradientsInHalfPrecisionAreRoundedOnceAPass) {
  for (const OpCase& op : {GetParam(), recomputed(GetParam())}) {
    const OpRun exact = run(DType::f32, op);
    const OpRun once = run_case(cpu_, DType::f32, op, sample(op), 1, DType::bf16);
    const OpRun twice = run_case(cpu_, DType::f32, op, sample(op), 2, DType::bf16);
    EXPECT_EQ(once.outputs, exact.outputs);
    if (op.adds_up) {  // rounded for each part
      expect_close(once.gradients, exact.gradients, tolerance::kHalfPrecision, "gradient");
      continue;
    }
    for (std::size_t i = 0; i < exact.gradients.size(); ++i) {
      EXPECT_EQ(once.gradients[i], rounded_to_bf16(exact.gradients[i])) << i;
      Values sum = once.gradients[i];
      for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += exact.gradients[i][k];
      EXPECT_EQ(twice.gradients[i], rounded_to_bf16(sum)) << i;
    }
  }
}

TEST_P(OpTest, DryRunPredictsThePeakToTheByte) {
  for (const OpCase& op : {GetParam(), recomputed(GetParam())})
    for (const DType gradients : {DType::f32, DType::bf16}) {
      const auto run = [&](Backend& on) {
        run_case(on, DType::f32, op, sample(op), 2, gradients);
        return on.pool().high_water();
      };
      DryBackend dry;
      const std::size_t peak = run(dry);
      CpuBackend cpu(peak);  // not one byte more
      EXPECT_EQ(run(cpu), peak);
      EXPECT_EQ(cpu.pool().used(), 0u);
      CpuBackend smaller(peak - 256);
      EXPECT_THROW(run(smaller), Error);
    }
}

TEST_P(OpTest, InferenceKeepsNothingAndGivesTheSameBits) {
  const OpCase& op = GetParam();
  const std::vector<Values> point = sample(op);
  const OpRun trained = run_case(cpu_, DType::f32, op, point);
  const OpRun inferred = run_case(cpu_, DType::f32, without_tape(op), point);
  EXPECT_EQ(inferred.outputs, trained.outputs);
  for (const Values& g : inferred.gradients) EXPECT_EQ(g, Values(g.size()));
}

INSTANTIATE_TEST_SUITE_P(All, OpTest, testing::ValuesIn(op_cases()),
                         [](const auto& p) { return p.param.name; });

}  // namespace
}  // namespace tern
