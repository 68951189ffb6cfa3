#include "optim/adamw.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "core/backend.h"
#include "core/cpu/cpu_backend.h"

namespace tern {
namespace {

using testing::DoubleNear;
using testing::Each;
using testing::ElementsAre;
using testing::Pointwise;
using Values = std::vector<double>;

// Two parameters: a matrix that decays and a norm weight that does not.
class AdamWTest : public testing::Test {
 protected:
  AdamWTest() {
    w_.name = "w", w_.shape = {2}, w_.weight_decay = true;
    n_.name = "n", n_.shape = {2};
  }
  void make(const AdamWOptions& options, DType dtype = DType::f64) {
    adam_.reset(), pack_.reset();  // the parameters belong to one pack at a time
    pack_ =
        std::make_unique<ParameterPack>(cpu_, std::vector{&n_, &w_}, PackOptions{.dtype = dtype});
    adam_ = std::make_unique<AdamWOptimizer>(*pack_, options);
    upload_real(w_.value, {1, -2});
    upload_real(n_.value, {3, 4});
  }
  UpdateReport step(const Values& dw, const Values& dn, double rate, double decay,
                    double loss = 1) {
    adam_->begin_step(rate, decay);
    write(w_, dw), write(n_, dn);
    const Tensor mean(cpu_, {1}, DType::f64);
    upload_real(mean, {loss});
    adam_->add_loss(mean);
    return adam_->step().report();
  }
  void write(Parameter& p, const Values& g) {
    p.grad.claim(0, p.shape.elements());
    upload_real(p.grad.tensor, g);
  }
  std::vector<std::byte> everything() {
    std::vector<std::byte> all;
    for (const Tensor& t : {pack_->values(), adam_->first_moment(), adam_->second_moment()}) {
      std::vector<std::byte> bytes(t.bytes());
      cpu_.download(bytes.data(), t);
      all.insert(all.end(), bytes.begin(), bytes.end());
    }
    return all;
  }
  CpuBackend cpu_{1 << 20};
  Parameter w_, n_;
  std::unique_ptr<ParameterPack> pack_;
  std::unique_ptr<AdamWOptimizer> adam_;
};

// One weight, b1 = b2 = 1/2, eps next to 0, rate 1/10, no clipping, no decay; gradients 4, 0, 4.
TEST_F(AdamWTest, ThreeStepsByHand) {
  make({.beta1 = 0.5, .beta2 = 0.5, .eps = 1e-300, .clip = 0});
  step({4, 0}, {0, 0}, 0.1, 0);
  // m = 2, v = 8; corrected 4, 16: 0.1 * 4/4
  EXPECT_NEAR(download_real(w_.value)[0], 0.9, 1e-15);
  step({0, 0}, {0, 0}, 0.1, 0);
  // m = 1, v = 4; corrected by 3/4 each: 4/3, 16/3: 0.1 * (4/3) / sqrt(16/3)
  const double second = 0.9 - 0.1 * (4 / 3.0) / std::sqrt(16 / 3.0);
  EXPECT_NEAR(download_real(w_.value)[0], second, 1e-15);
  step({4, 0}, {0, 0}, 0.1, 0);
  // m = 2.5, v = 10; corrected by 7/8: 20/7, 80/7
  EXPECT_NEAR(download_real(w_.value)[0], second - 0.1 * (20 / 7.0) / std::sqrt(80 / 7.0), 1e-15);
  EXPECT_NEAR(download_real(pack_->view(adam_->first_moment(), w_))[0], 2.5, 1e-15);
  EXPECT_NEAR(download_real(pack_->view(adam_->second_moment(), w_))[0], 10, 1e-15);
  EXPECT_EQ(adam_->adam_steps(), 3);
}

TEST_F(AdamWTest, OnlyTheDecayedRangeDecays) {
  make({.clip = 0});
  step({0, 0}, {0, 0}, 0.1, 0.5);  // no gradient: w -= rate * decay * w
  EXPECT_THAT(download_real(w_.value), Pointwise(DoubleNear(1e-15), {0.95, -1.9}));
  EXPECT_THAT(download_real(n_.value), ElementsAre(3, 4));
  const Values all = download_real(pack_->values());
  EXPECT_THAT(Values(all.begin() + 2, all.begin() + 64), Each(0));  // the padding too
}

TEST_F(AdamWTest, DecayComesBeforeTheStepAndDoesNotPassTheMoments) {
  make({.eps = 1e-300, .clip = 0});
  step({1, 1}, {1, 1}, 0.1, 0.5);  // corrected moments are 1: a step of 0.1 whatever the betas
  EXPECT_THAT(download_real(w_.value), Pointwise(DoubleNear(1e-14), {0.95 - 0.1, -1.9 - 0.1}));
  EXPECT_THAT(download_real(n_.value), Pointwise(DoubleNear(1e-14), {2.9, 3.9}));
}

TEST_F(AdamWTest, EpsilonIsAddedAfterTheCorrectedRoot) {
  make({.beta1 = 0.9, .beta2 = 0.99, .eps = 1, .clip = 0});
  step({3, 3}, {3, 3}, 0.1, 0);
  EXPECT_NEAR(download_real(n_.value)[0], 3 - 0.1 * 3 / (3 + 1), 1e-15);
}

TEST_F(AdamWTest, ClipScalesAllGradientsByOneNorm) {
  make({.beta1 = 0.5, .clip = 1});
  const UpdateReport r = step({1, 1}, {1, 1}, 0.1, 0);
  EXPECT_EQ(r.grad_norm, 2);  // before clipping
  const double c = 1 / (2 + 1e-6);
  for (const Parameter* p : {&w_, &n_})
    EXPECT_THAT(download_real(pack_->view(adam_->first_moment(), *p)),
                Pointwise(DoubleNear(1e-16), {c / 2, c / 2}));
  step({0.1, 0.1}, {0.1, 0.1}, 0.1, 0);  // below the bound: nothing is scaled
  EXPECT_NEAR(download_real(pack_->view(adam_->first_moment(), w_))[0], c / 4 + 0.05, 1e-16);
}

TEST_F(AdamWTest, NoClippingIsAskedForWithZero) {
  make({.beta1 = 0.5, .clip = 0});
  step({100, 0}, {0, 0}, 0.1, 0);
  EXPECT_EQ(download_real(pack_->view(adam_->first_moment(), w_))[0], 50);
}

TEST_F(AdamWTest, TheLossIsTheSumOfItsParts) {
  make({});
  adam_->begin_step(0.1, 0);
  for (const double part : {1.0, 2.0, 4.0}) {
    const Tensor t(cpu_, {1}, DType::f64);
    upload_real(t, {part});
    adam_->add_loss(t);
  }
  EXPECT_EQ(adam_->step().report().loss, 7);
  adam_->begin_step(0.1, 0);
  EXPECT_EQ(adam_->step().report().loss, 0);  // a new step has none yet
}

TEST_F(AdamWTest, SinglePrecisionFollowsDouble) {
  std::array<Values, 2> after;
  for (const DType dtype : {DType::f32, DType::f64}) {
    make({}, dtype);
    for (int s = 0; s < 20; ++s) step({std::sin(s), std::cos(s)}, {0.1 * s, -1}, 0.01, 0.1);
    after[dtype == DType::f64] = download_real(pack_->values());
  }
  EXPECT_THAT(after[0], Pointwise(DoubleNear(1e-6), after[1]));
}

using Fault54 = AdamWTest;

// The optimizer's part: a step that is not finite changes no bit of the state.
TEST_F(Fault54, AStepThatIsNotFiniteChangesNoBit) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    make({}, dtype);
    step({0.5, -0.25}, {1, 2}, 0.1, 0.1);
    const std::vector<std::byte> before = everything();
    for (const double bad : {double(NAN), double(INFINITY), -double(INFINITY)}) {
      EXPECT_FALSE(step({0.5, -0.25}, {1, 2}, 0.1, 0.1, bad).applied);
      EXPECT_FALSE(step({0.5, bad}, {1, 2}, 0.1, 0.1).applied);
      EXPECT_FALSE(step({0.5, -0.25}, {bad, 2}, 0.1, 0.1).applied);
      EXPECT_EQ(everything(), before) << bad;
      EXPECT_EQ(adam_->adam_steps(), 1);
    }
    EXPECT_TRUE(step({0.5, -0.25}, {1, 2}, 0.1, 0.1).applied);
    EXPECT_NE(everything(), before);
    EXPECT_EQ(adam_->adam_steps(), 2);
  }
}

// The step count is all that bias correction knows: set it, and the next step is the same.
TEST_F(AdamWTest, ContinuesFromItsStepCount) {
  make({});
  step({0.5, -0.25}, {1, 2}, 0.1, 0.1);
  const Values values = download_real(pack_->values()), m = download_real(adam_->first_moment()),
               v = download_real(adam_->second_moment());
  step({1, 1}, {1, 1}, 0.1, 0.1);
  const Values want = download_real(pack_->values());
  make({});
  upload_real(pack_->values(), values);
  upload_real(adam_->first_moment(), m), upload_real(adam_->second_moment(), v);
  adam_->set_adam_steps(1);
  step({1, 1}, {1, 1}, 0.1, 0.1);
  EXPECT_EQ(download_real(pack_->values()), want);
}

}  // namespace
}  // namespace tern
