// Where a row is largest: the first of equals, and NaN above everything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/backend.h"
#include "core/cpu/cpu_backend.h"

namespace tern {
namespace {

using testing::ElementsAre;

std::vector<std::int32_t> argmax(DType dtype, Index columns, const std::vector<double>& values) {
  CpuBackend cpu(std::size_t(1) << 20);
  const Index rows = Index(values.size()) / columns;
  const Tensor x(cpu, {rows, columns}, dtype), ids(cpu, {rows}, DType::i32);
  upload_real(x, values);
  cpu.run(Argmax{.ids = ids, .x = x});
  return {ids.data<std::int32_t>(), ids.data<std::int32_t>() + rows};
}

TEST(Argmax, IsTheFirstOfEqualsInEveryRow) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const DType dtype : {DType::f32, DType::f64}) {
    EXPECT_THAT(argmax(dtype, 4, {1,         3,         2,         3,          //
                                  -5,        -4,        -6,        -4,         //
                                  0,         -0.0,      0,         -1,         //
                                  -0.0,      0,         0,         -1,         //
                                  -infinity, -infinity, -infinity, -infinity,  //
                                  1,         infinity,  2,         infinity}),
                ElementsAre(1, 1, 0, 0, 0, 1));
    EXPECT_THAT(argmax(dtype, 1, {7, -7}), ElementsAre(0, 0));
  }
}

TEST(Argmax, OfRowsThatFillVectorsAndLeaveARest) {
  for (const Index columns : {8, 31, 1000}) {
    std::vector<double> x(std::size_t(20 * columns), -2);
    std::vector<std::int32_t> want;
    for (Index row = 0; row < 20; ++row) {
      const Index at = row * 37 % columns;
      x[std::size_t(row * columns + at)] = -1;
      want.push_back(std::int32_t(at));
    }
    EXPECT_EQ(argmax(DType::f32, columns, x), want) << columns;
  }
}

TEST(Argmax, ANaNIsLargerThanAnyNumber) {
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  for (const DType dtype : {DType::f32, DType::f64})
    EXPECT_THAT(argmax(dtype, 3, {infinity, nan, nan, nan, 1, 2, 1, 2, nan}), ElementsAre(1, 0, 2));
}

}  // namespace
}  // namespace tern
