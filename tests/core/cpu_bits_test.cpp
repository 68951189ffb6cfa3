// An element's bits depend neither on where it lies nor on what lies around it.
#include <gtest/gtest.h>
#include <omp.h>

#include "core/backend.h"
#include "core/cpu/cpu_backend.h"
#include "core/rng.h"

namespace tern {
namespace {

constexpr Index kElements = 4000;

class CpuBits : public testing::TestWithParam<DType> {
 protected:
  CpuBits() { omp_set_num_threads(1); }
  ~CpuBits() override { omp_set_num_threads(omp_get_num_procs()); }
  Tensor random(Shape shape, double spread) {
    const Tensor t(cpu_, shape, GetParam());
    std::vector<double> v(std::size_t(t.elements()), 0);
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = spread * (2 * Rng(7).uniform(i) - 1);
    upload_real(t, v);
    return t;
  }
  Tensor like(const Tensor& t) { return Tensor(cpu_, t.shape(), t.dtype()); }
  CpuBackend cpu_{std::size_t(8) << 20};
};

TEST_P(CpuBits, FunctionsOfOneElementAndOfMany) {
  const Tensor x = random({kElements}, 9), together = like(x), alone = like(x);
  for (const UnaryFunction f : {UnaryFunction::exp, UnaryFunction::sigmoid, UnaryFunction::silu,
                                UnaryFunction::reciprocal}) {
    cpu_.run(Unary{.y = together, .x = x, .function = f});
    for (Index i = 0; i < kElements; ++i)
      cpu_.run(Unary{.y = alone.slice(i, 1), .x = x.slice(i, 1), .function = f});
    EXPECT_EQ(download_real(alone), download_real(together)) << "function " << int(f);
  }
}

// Rows of 37 elements: no two of them are aligned alike.
TEST_P(CpuBits, LossOfOneRowAndOfMany) {
  const Index N = 60, V = 37;
  const Tensor logits = random({N, V}, 5), weight(cpu_, {1}, GetParam());
  upload_real(weight, {0.25});
  const Tensor targets = upload_ids(cpu_, {N}, std::vector<std::int32_t>(N, 3));
  const Tensor together = like(logits), alone = like(logits);
  const Tensor losses(cpu_, {2, N}, GetParam());
  cpu_.copy(together, logits), cpu_.copy(alone, logits);
  const Tensor first = losses.slice(0, 1).reshape({N}), second = losses.slice(1, 1).reshape({N});
  cpu_.run(CrossEntropy{
      .losses = first, .logits = together, .targets = targets, .weight = weight, .gradient = true});
  for (Index n = 0; n < N; ++n)
    cpu_.run(CrossEntropy{.losses = second.slice(n, 1),
                          .logits = alone.slice(n, 1),
                          .targets = targets.slice(n, 1),
                          .weight = weight,
                          .gradient = true});
  EXPECT_EQ(download_real(second), download_real(first));
  EXPECT_EQ(download_real(alone), download_real(together));
}

INSTANTIATE_TEST_SUITE_P(Real, CpuBits, testing::Values(DType::f32, DType::f64),
                         [](const auto& p) { return name_of(p.param); });

}  // namespace
}  // namespace tern
