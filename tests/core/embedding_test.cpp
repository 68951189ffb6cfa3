// Rows of a table by number, however the table is stored.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/backend.h"
#include "core/cpu/cpu_backend.h"

namespace tern {
namespace {

using testing::ElementsAre;

class EmbeddingTest : public testing::TestWithParam<DType> {
 protected:
  std::vector<double> rows(const Tensor& table, const Tensor& row_scale = {}) {
    const Tensor y(cpu_, {3, 2}, GetParam());
    cpu_.run(Embedding{
        .y = y, .table = table, .row_scale = row_scale, .ids = upload_ids(cpu_, {3}, {2, 0, 2})});
    return download_real(y);
  }
  Tensor real(const Shape& shape, DType dtype, const std::vector<double>& values) {
    const Tensor t(cpu_, shape, dtype);
    upload_real(t, values);
    return t;
  }
  CpuBackend cpu_{1 << 20};
};

TEST_P(EmbeddingTest, OfRealNumbers) {
  EXPECT_THAT(rows(real({3, 2}, GetParam(), {1.25, -2, 0, 0, 3, 7})),
              ElementsAre(3, 7, 1.25, -2, 3, 7));
}

// 1 + 2^-7 is the number after 1.
TEST_P(EmbeddingTest, OfHalfPrecision) {
  EXPECT_THAT(rows(real({3, 2}, DType::bf16, {1.0078125, -2, 0, 0, 3, 98304})),
              ElementsAre(3, 98304, 1.0078125, -2, 3, 98304));
}

// Codes over the scale of their row: -128 / 4, 5 / 4, and 3 / 0.5, 127 / 0.5.
TEST_P(EmbeddingTest, OfCodesWithAScaleForEachRow) {
  const Tensor table(cpu_, {3, 2}, DType::i8);
  const std::int8_t codes[] = {-128, 5, 9, 9, 3, 127};
  cpu_.upload(table, codes);
  EXPECT_THAT(rows(table, real({3}, GetParam(), {4, 1, 0.5})),
              ElementsAre(6, 254, -32, 1.25, 6, 254));
}

INSTANTIATE_TEST_SUITE_P(Real, EmbeddingTest, testing::Values(DType::f32, DType::f64),
                         [](const auto& p) { return name_of(p.param); });

}  // namespace
}  // namespace tern
