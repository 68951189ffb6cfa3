// When a gradient is complete: that is when the ranks of a run begin to add it up.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "core/backend.h"
#include "core/cpu/cpu_backend.h"

namespace tern {
namespace {

using testing::ElementsAre;
using Values = std::vector<double>;

class TapeReady : public testing::Test {
 protected:
  Parameter parameter(const std::string& name, const Values& values) {
    const Shape shape{Index(values.size())};
    Parameter p{.name = name, .shape = shape, .value = Tensor(cpu_, shape, DType::f64)};
    p.grad.tensor = Tensor(cpu_, shape, DType::f64);
    upload_real(p.value, values);
    return p;
  }
  // what a tape reports, and each gradient as it is at that moment
  Tape::Ready recorder() {
    return [this](Parameter& p) {
      names_.push_back(p.name);
      gradients_.push_back(download_real(p.grad.tensor));
    };
  }
  CpuBackend cpu_{1 << 20};
  Parameter a_ = parameter("a", {2, 3}), b_ = parameter("b", {5, 7}), c_ = parameter("c", {1, 1});
  std::vector<std::string> names_;
  std::vector<Values> gradients_;
};

// a is used first and last: complete only after its first use, the last in backward.
TEST_F(TapeReady, AfterTheLastOpThatAddsToAGradient) {
  Tape tape(recorder());
  const Var a = tape.leaf(a_), ab = multiply(a, tape.leaf(b_));
  tape.backward(multiply(ab, tape.leaf(a_)));  // a^2 b
  ASSERT_THAT(names_, ElementsAre("a", "b"));
  EXPECT_EQ(gradients_[0], (Values{2 * 2 * 5, 2 * 3 * 7}));
  EXPECT_EQ(gradients_[1], (Values{4, 9}));
}

TEST_F(TapeReady, InTheOrderOfBackward) {
  Tape tape(recorder());
  const Var ab = multiply(tape.leaf(a_), tape.leaf(b_));
  tape.backward(multiply(ab, tape.leaf(c_)));
  ASSERT_THAT(names_, ElementsAre("c", "a", "b"));
}

// What a view leaves out is zero, not whatever was there.
TEST_F(TapeReady, WithWhatNobodyWroteFilled) {
  upload_real(a_.grad.tensor, {99, 99});
  Tape tape(recorder());
  tape.backward(multiply(slice(tape.leaf(a_), 1, 1), slice(tape.leaf(b_), 1, 1)));
  ASSERT_THAT(names_, ElementsAre("a", "b"));
  EXPECT_EQ(gradients_[0], (Values{0, 7}));
}

// Parameters inside a checkpointed piece come from its own tape, those passed in from the outer
// one; nobody is reported twice.
TEST_F(TapeReady, ThroughCheckpoints) {
  Tape tape(recorder());
  const Var a = tape.leaf(a_);
  const auto body = [&](Tape* inner, std::span<const Var> in) {
    return std::vector<Var>{multiply(multiply(in[0], leaf(inner, b_)), leaf(inner, b_))};
  };
  const Var y = checkpoint(&tape, body, {a})[0];  // a b^2
  tape.backward(multiply(y, tape.leaf(c_)));
  ASSERT_THAT(names_, ElementsAre("c", "b", "a"));
  EXPECT_EQ(gradients_[1], (Values{2 * 2 * 5, 2 * 3 * 7}));
  EXPECT_EQ(gradients_[2], (Values{25, 49}));
}

// The head's gradient is complete before backward begins; that of what lies below it is not.
class Fault309 : public TapeReady {};

TEST_F(Fault309, TheHeadsGradientIsReportedFirst) {
  Parameter head = parameter("head", {0, 0});
  head.shape = {2, 1};
  head.value = head.value.reshape({2, 1});
  head.grad.tensor = head.grad.tensor.reshape({2, 1});
  const Tensor weight(cpu_, {1}, DType::f64);
  upload_real(weight, {1});
  Tape tape(recorder());
  const Var ab = multiply(tape.leaf(a_), tape.leaf(b_));  // (10, 21)
  const Var loss = cross_entropy({.codes = reshape(ab, {2, 1})}, {.codes = tape.leaf(head)},
                                 upload_ids(cpu_, {2}, {0, 1}), weight)
                       .loss;
  tape.backward(loss);
  ASSERT_THAT(names_, ElementsAre("head", "a", "b"));
  EXPECT_EQ(gradients_[0], (Values{(21 - 10) / 2.0, (10 - 21) / 2.0}));
}

// As an embedding that is the head too: complete after its first use, the last in backward.
TEST_F(Fault309, AHeadThatIsUsedElsewhereWaits) {
  Parameter head = parameter("head", {1, 1});
  head.shape = {2, 1};
  head.value = head.value.reshape({2, 1});
  head.grad.tensor = head.grad.tensor.reshape({2, 1});
  const Tensor weight(cpu_, {1}, DType::f64);
  upload_real(weight, {1});
  Tape tape(recorder());
  const Var ids = embedding(tape.leaf(head), upload_ids(cpu_, {2}, {0, 1}));
  const Var rows = multiply(ids, reshape(tape.leaf(a_), {2, 1}));
  tape.backward(cross_entropy({.codes = rows}, {.codes = tape.leaf(head)},
                              upload_ids(cpu_, {2}, {0, 1}), weight)
                    .loss);
  ASSERT_THAT(names_, ElementsAre("a", "head"));
}

}  // namespace
}  // namespace tern
