// Gradients in 8-bit floats: the CPU's codes of what a kernel stored, which is what it stores
// without them; and no bit depends on whether the op that writes a gradient makes them or the
// product that reads it.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "core/cpu/e4m3.h"
#include "core/dry/dry_backend.h"
#include "tests/cuda/gpu.h"
#include "tests/support/fp8_gradients.h"
#include "tests/support/op_cases.h"

namespace tern {
namespace {

constexpr std::size_t kSlab = std::size_t(1) << 30;

class CudaFp8Rows : public GpuTest {};

// NaN is NaN, whichever
std::vector<double> comparable(std::vector<double> x) {
  for (double& v : x)
    if (std::isnan(v)) v = 1e300;
  return x;
}

void expect_cpus_codes(const Fp8Gradient& got, Index N, const std::string& where) {
  EXPECT_EQ(comparable(got.gradient), comparable(got.alone)) << where;
  EXPECT_TRUE(got.same_codes_alone) << where;
  const Index columns = Index(got.gradient.size()) / N;
  for (Index n = 0; n < N; ++n) {
    const std::vector<float> row(got.gradient.begin() + n * columns,
                                 got.gradient.begin() + (n + 1) * columns);
    std::vector<float> rounded(row.size());
    const float undo = cpu::round_row_e4m3(rounded.data(), row.data(), columns);
    for (float& x : rounded) x *= undo;
    const float factor = float(got.factors[n]);
    if (n == 2 && N > 2) {
      ASSERT_TRUE(std::isnan(rounded[0])) << where;
    }
    ASSERT_EQ(std::isnan(factor), std::isnan(rounded[0])) << where << " row " << n;
    for (Index i = 0; i < columns; ++i) {
      const std::uint8_t code = got.codes[std::size_t(n * columns + i)];
      if (std::isnan(factor)) {
        ASSERT_EQ(code, 0) << where << " row " << n;
      } else {
        ASSERT_EQ(cpu::value_of({code}) * factor, rounded[i]) << where << " at " << n << ' ' << i;
      }
    }
  }
}

void expect_cpus_codes(CudaBackend& on, const std::vector<std::pair<Index, Index>>& sizes) {
  constexpr DType single = DType::f32, half = DType::bf16;
  for (const auto& [N, D] : sizes)
    for (const auto& [stream, real] : {std::pair{single, single}, {single, half}, {half, half}})
      for (const Fp8Gradient& got : fp8_gradients(on, stream, real, N, D)) {
        std::ostringstream where;
        where << got.kernel << ' ' << stream << ' ' << real << ' ' << N << ' ' << D;
        expect_cpus_codes(got, N, where.str());
        if (testing::Test::HasFatalFailure()) return;
      }
}

TEST_F(CudaFp8Rows, HaveTheCpusCodes) {  // also under compute-sanitizer
  expect_cpus_codes(gpu(kSlab), {{1, 1}, {5, 19}, {67, 48}, {40, 1024}});
}

// Widths of every layout of rows: up to 4096 and 8192, wider, odd; and more rows than blocks.
TEST_F(CudaFp8Rows, HaveThemInEveryLayout) {
  expect_cpus_codes(
      gpu(kSlab),
      {{1003, 48}, {9000, 256}, {2500, 2048}, {67, 4096}, {1100, 5632}, {19, 8191}, {9, 9000}});
}

std::vector<std::array<Index, 3>> sizes() {  // multiples of 16 go to the library
  return {{1, 1, 1}, {67, 21, 35}, {67, 32, 48}, {1030, 256, 704}, {300, 2048, 5632}};
}

TEST_F(CudaFp8Rows, WhoMakesThemChangesNoBit) {
  for (const auto& [N, D, H] : sizes())
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const auto backward : {BackwardProducts::fp8_dx, BackwardProducts::fp8}) {
        const OpCase made = fp8_rows_case(N, D, H, false, backward),
                     read = fp8_rows_case(N, D, H, true, backward);
        const OpRun want = run_case(gpu(kSlab), dtype, read, sample(read), 2);
        EXPECT_TRUE(run_case(gpu(kSlab), dtype, made, sample(made), 2) == want)
            << dtype << ' ' << N << ' ' << D << ' ' << H << ' ' << rounds_dw(backward);
      }
}

TEST_F(CudaFp8Rows, TakeTheMemoryOfThePlan) {
  for (const auto& [N, D, H] : sizes())
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const auto backward : {BackwardProducts::fp8_dx, BackwardProducts::fp8}) {
        const OpCase op = fp8_rows_case(N, D, H, false, backward);
        DryBackend dry(gpu(kSlab).traits());
        run_case(dry, dtype, op, sample(op));
        CudaBackend exact(0, dry.pool().high_water());  // not one byte more
        run_case(exact, dtype, op, sample(op));
        EXPECT_EQ(exact.pool().high_water(), dry.pool().high_water());
      }
}

}  // namespace
}  // namespace tern
