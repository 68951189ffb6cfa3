// Sums over flat buffers: their order on paper, and bits that no number of threads changes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include "core/backend.h"
#include "core/cpu/cpu_backend.h"
#include "core/rng.h"

namespace tern {
namespace {

using testing::ElementsAre;
using Values = std::vector<double>;

class Sums : public testing::Test {
 protected:
  ~Sums() override { omp_set_num_threads(omp_get_num_procs()); }
  Tensor tensor(const Values& values, DType dtype = DType::f64) {
    const Tensor t(cpu_, {Index(values.size())}, dtype);
    upload_real(t, values);
    return t;
  }
  Values magnitudes(const Tensor& w) {
    const Tensor sums(cpu_, {sum_pieces(w.elements())}, DType::f64);
    cpu_.run(SumMagnitudes{.sums = sums, .w = w});
    return download_real(sums);
  }
  double squares(const Tensor& g) {
    const Tensor scalars(cpu_, {StepScalars::kCount}, DType::f64);
    cpu_.run(SquaredNorm{.scalars = scalars, .g = g});
    return download_real(scalars)[StepScalars::norm_squared];
  }
  CpuBackend cpu_{std::size_t(8) << 20};
};

TEST_F(Sums, ThreeNumbersByHand) {
  EXPECT_THAT(magnitudes(tensor({1, -2, 0.5})), ElementsAre(3.5));
  EXPECT_EQ(squares(tensor({1, -2, 0.5})), 5.25);
}

// e = 2^-53 is lost when added to 1, 2e is not: where e meets e first tells the order.
TEST_F(Sums, ColumnsFirstThenNeighbours) {
  const double e = 0x1p-53;
  const auto with = [&](std::initializer_list<Index> places) {
    Values w(4096, 0);
    w[0] = 1;
    for (const Index i : places) w[std::size_t(i)] = -e;
    return magnitudes(tensor(w))[0];
  };
  EXPECT_EQ(with({1, 2}), 1);             // (1 + e) + (e + 0)
  EXPECT_EQ(with({2, 3}), 1 + 2 * e);     // (1 + 0) + (e + e)
  EXPECT_EQ(with({1024, 2048}), 1);       // one column, in order: (1 + e) + e
  EXPECT_EQ(with({1, 1025}), 1 + 2 * e);  // column 1 is e + e
  EXPECT_EQ(with({1025, 3}), 1);          // (1 + e) + (0 + e)
}

TEST_F(Sums, EveryPieceHasItsOwn) {
  Values w(2 * 4096 + 5, 0);
  w[0] = 1, w[4095] = -2, w[4096] = 4, w[8192] = -8, w[8196] = 16;
  for (const DType dtype : {DType::f32, DType::f64})
    EXPECT_THAT(magnitudes(tensor(w, dtype)), ElementsAre(3, 4, 24));
  Values g(3 * 32768 + 1, 0);
  g[0] = 1, g[32767] = 2, g[32768] = 3, g[98304] = 4;
  for (const DType dtype : {DType::f32, DType::f64}) EXPECT_EQ(squares(tensor(g, dtype)), 30);
}

TEST_F(Sums, TheSameBitsOnAnyNumberOfThreads) {
  Values x(150'001, 0);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = Rng(3).normal(i);
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor t = tensor(x, dtype);
    omp_set_num_threads(1);
    const Values sums = magnitudes(t);
    const double norm = squares(t);
    for (const int threads : {2, 3, 5}) {
      omp_set_num_threads(threads);
      EXPECT_EQ(magnitudes(t), sums);
      EXPECT_EQ(squares(t), norm);
    }
    EXPECT_NEAR(norm / 150'001, 1, 0.02);
  }
}

}  // namespace
}  // namespace tern
