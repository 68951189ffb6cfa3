// The largest of a row on the GPU is the CPU's: ties, infinities, NaN, odd widths.
#include <gtest/gtest.h>

#include <limits>

#include "core/backend.h"
#include "core/cpu/cpu_backend.h"
#include "core/rng.h"
#include "tests/cuda/gpu.h"

namespace tern {
namespace {

class CudaArgmax : public GpuTest {};

std::vector<std::int32_t> argmax_on(Backend& on, DType dtype, Index columns,
                                    const std::vector<double>& values) {
  const Index rows = Index(values.size()) / columns;
  const Tensor x(on, {rows, columns}, dtype), ids(on, {rows}, DType::i32);
  upload_real(x, values);
  on.run(Argmax{.ids = ids, .x = x});
  std::vector<std::int32_t> out(std::size_t(rows), -1);
  on.download(out.data(), ids);
  return out;
}

TEST_F(CudaArgmax, IsTheCpus) {
  constexpr std::size_t kSlab = std::size_t(64) << 20;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  CpuBackend cpu(kSlab);
  for (const Index columns : {1, 7, 512, 4099, 32000}) {
    const Index rows = 9;
    std::vector<double> x(std::size_t(rows * columns), 0);
    for (std::size_t i = 0; i < x.size(); ++i)  // few values: many ties, all exact in bf16
      x[i] = double(Rng(5).bits(i) % 17) - 8;
    const auto put = [&](Index row, Index column, double value) {
      x[std::size_t(row * columns + column % columns)] = value;
    };
    put(1, columns / 2, kInfinity);
    put(2, columns / 3, std::numeric_limits<double>::quiet_NaN());
    put(2, columns - 1, kInfinity);
    put(3, columns / 3, std::numeric_limits<double>::quiet_NaN());
    put(3, columns / 2, std::numeric_limits<double>::quiet_NaN());
    for (Index i = 0; i < columns; ++i) put(4, i, -kInfinity);
    for (Index i = 0; i < columns; ++i) put(5, i, i % 2 ? 0.0 : -0.0);
    for (Index i = 0; i < columns; ++i) put(6, i, -1 - double(i % 5));
    const auto want = argmax_on(cpu, DType::f32, columns, x);
    EXPECT_EQ(argmax_on(gpu(kSlab), DType::f32, columns, x), want) << columns;
    EXPECT_EQ(argmax_on(gpu(kSlab), DType::bf16, columns, x), want) << columns;
  }
}

}  // namespace
}  // namespace tern
