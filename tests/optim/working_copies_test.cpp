// Dense matrices that products read in bf16: the copies follow every change of the values.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/backend.h"
#include "core/cpu/cpu_backend.h"
#include "optim/adamw.h"

namespace tern {
namespace {

using Values = std::vector<double>;

Values rounded(const Tensor& t) {
  const Tensor half(t.backend(), t.shape(), DType::bf16);
  upload_real(half, download_real(t));
  return download_real(half);
}

class WorkingCopies : public testing::Test {
 protected:
  static constexpr Initial kNormal{Initial::Kind::normal, 0.02};
  CpuBackend cpu_{std::size_t(8) << 20};
  Parameter dense_{.name = "a.weight",
                   .shape = {7, 33},
                   .working_copy = true,
                   .sharding = Sharding::whole,
                   .initial = kNormal};
  Parameter norm_{.name = "a.norm", .shape = {33}, .initial = kNormal};
  Parameter other_{.name = "b.weight",
                   .shape = {5, 9},
                   .working_copy = true,
                   .sharding = Sharding::whole,
                   .initial = kNormal};
  Parameter ternary_{.name = "c.weight",
                     .shape = {4, 8},
                     .ternary = true,
                     .sharding = Sharding::whole,
                     .alignment = kSumPiece,
                     .initial = kNormal};
  const std::vector<Parameter*> all_{&dense_, &norm_, &other_, &ternary_};

  void expect_copies() {
    for (const Parameter* p : {&dense_, &other_}) {
      EXPECT_EQ(p->working.shape(), p->shape);
      EXPECT_EQ(download_real(p->working), rounded(p->value)) << p->name;
      EXPECT_NE(download_real(p->working), download_real(p->value)) << p->name;
    }
  }
};

TEST_F(WorkingCopies, FollowInitialValuesUpdatesAndLoads) {
  ParameterPack pack(cpu_, all_, {.working = DType::bf16});
  pack.initialize(5);
  expect_copies();
  EXPECT_FALSE(norm_.working || ternary_.working);
  const Values first = download_real(dense_.working);

  AdamWOptimizer adam(pack, {});
  adam.begin_step(0.1, 0);
  for (Parameter* p : all_) {
    p->grad.claim(0, p->shape.elements());
    cpu_.fill(p->grad.tensor, 0.25);
  }
  EXPECT_TRUE(adam.step().report().applied);
  expect_copies();
  const Values updated = download_real(dense_.working);
  EXPECT_NE(updated, first);

  adam.begin_step(0.1, 0);
  dense_.grad.claim(0, dense_.shape.elements());
  cpu_.fill(dense_.grad.tensor, std::numeric_limits<double>::quiet_NaN());
  EXPECT_FALSE(adam.step().report().applied);
  EXPECT_EQ(download_real(dense_.working), updated);

  cpu_.fill(pack.values(), 1.0009765625);  // as a checkpoint is loaded
  pack.quantize();
  expect_copies();
}

TEST_F(WorkingCopies, OnlyWhereAskedForAndForAsLongAsThePack) {
  {
    const ParameterPack pack(cpu_, all_);
    EXPECT_FALSE(dense_.working);
  }
  const std::size_t without = cpu_.pool().used();
  {
    const ParameterPack pack(cpu_, all_, {.working = DType::bf16});
    EXPECT_TRUE(dense_.working);
  }
  EXPECT_FALSE(dense_.working);
  EXPECT_EQ(cpu_.pool().used(), without);
  EXPECT_THROW(ParameterPack(cpu_, all_, {.dtype = DType::f64, .working = DType::bf16}), Error);
  norm_.working_copy = true;  // every rank has it: there is no one owner
  EXPECT_THROW(ParameterPack(cpu_, all_), Error);
}

}  // namespace
}  // namespace tern
