// What the tape promises: frees as it goes, keeps nothing in inference, adds gradients however
// values are shared, and refuses what would lose one silently.
#include "autograd/tape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "autograd/ops.h"
#include "core/backend.h"
#include "core/cpu/cpu_backend.h"
#include "tests/support/complaint.h"

namespace tern {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Values = std::vector<double>;

class TapeTest : public testing::Test {
 protected:
  Tensor tensor(const Shape& shape, const Values& values) {
    const Tensor t(cpu_, shape, DType::f64);
    upload_real(t, values);
    return t;
  }
  Parameter parameter(const std::string& name, const Shape& shape, const Values& values) {
    return {.name = name,
            .shape = shape,
            .value = tensor(shape, values),
            .grad = {.tensor = tensor(shape, Values(values.size(), 99))}};
  }
  Values gradient(Parameter& p) {
    p.grad.fill_unwritten();
    return download_real(p.grad.tensor);
  }
  CpuBackend cpu_{1 << 20};
};

TEST_F(TapeTest, BackwardFreesActivationsAsItGoes) {
  Parameter p = parameter("p", {1, 4, 2}, Values(8, 0.5));
  const Var f{tensor({1, 4, 2}, Values(8, 0.5))};
  std::vector<std::size_t> used;  // bytes in the pool each time a probe's backward runs
  Tape tape;
  Var h = tape.leaf(p);
  for (int i = 0; i < 5; ++i) {
    h = mlgru(f, h).h;
    h = record("probe", h.value, {h}, [&](const Tensor& dy, Tape::Grads d) {
      used.push_back(cpu_.pool().used());
      cpu_.run(Accumulate{.to = d[0], .x = dy});
    });
  }
  tape.backward(h);
  ASSERT_EQ(used.size(), 5u);
  for (std::size_t i = 2; i < used.size(); ++i)  // the caller still holds the last output
    EXPECT_LT(used[i], used[i - 1]) << i;
}

// Memory is written over only if nobody else can see it.
TEST_F(TapeTest, RotaryWorksInPlaceOnTheOnlyTensorOfItsMemory) {
  Parameter p = parameter("p", {1, 2, 12}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6,  //
                                            1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6});
  const RotaryOptions options{.heads = 1};
  for (const bool on_tape : {false, true}) {
    Tape tape;
    const Var given = on_tape ? tape.leaf(p) : Var{p.value};
    const Values before = download_real(given.value);
    Var sole = scale(given, 1);
    const void* memory = sole.value.raw();
    const Var seen = scale(given, 1);
    const Var in_place = rotary(std::move(sole), options), apart = rotary(seen, options);
    EXPECT_EQ(in_place.value.raw(), memory);
    EXPECT_NE(apart.value.raw(), seen.value.raw());
    EXPECT_EQ(download_real(in_place.value), download_real(apart.value));
    EXPECT_EQ(download_real(seen.value), before);
    Var borrowed{Tensor::borrow(cpu_, given.value.shape(), DType::f64, given.value.raw())};
    rotary(std::move(borrowed), options);
    EXPECT_EQ(download_real(given.value), before);
  }
}

TEST_F(TapeTest, WithoutATapeNothingIsKept) {
  Var h{tensor({1, 4, 2}, Values(8, 0.5))};
  const std::size_t before = cpu_.pool().used();
  for (int i = 0; i < 10; ++i) h = mlgru(h, silu(h)).h;
  EXPECT_EQ(cpu_.pool().used(), before);
}

TEST_F(TapeTest, ATapeThatIsDroppedLetsGoOfEverything) {
  Parameter p = parameter("p", {4}, {1, 2, 3, 4});
  const std::size_t before = cpu_.pool().used();
  {
    Tape tape;
    silu(silu(tape.leaf(p)));
    EXPECT_GT(cpu_.pool().used(), before);
  }
  EXPECT_EQ(cpu_.pool().used(), before);
}

TEST_F(TapeTest, ALeafUsedTwiceAddsBothUses) {
  Parameter p = parameter("p", {2}, {3, 5});
  Tape tape;
  const Var a = tape.leaf(p), b = tape.leaf(p);
  EXPECT_EQ(a.slot, b.slot);
  tape.backward(add(multiply(a, b), scale(a, 10)));  // x^2 + 10 x
  EXPECT_THAT(gradient(p), ElementsAre(2 * 3 + 10, 2 * 5 + 10));
}

TEST_F(TapeTest, MicroBatchesAddUpUntilTheGradientIsForgotten) {
  Parameter p = parameter("p", {2}, {3, 5});
  for (int micro_batch = 1; micro_batch <= 3; ++micro_batch) {
    Tape tape;
    tape.backward(scale(tape.leaf(p), 2));
    EXPECT_THAT(gradient(p), ElementsAre(2 * micro_batch, 2 * micro_batch));
  }
  p.grad.written.clear();
  Tape tape;
  tape.backward(scale(tape.leaf(p), 2));
  EXPECT_THAT(gradient(p), ElementsAre(2, 2));
}

TEST_F(TapeTest, WhatNobodyWroteIsZero) {
  Parameter p = parameter("p", {5}, {1, 2, 3, 4, 5}), unused = parameter("unused", {2}, {1, 2});
  Tape tape;
  tape.leaf(unused);
  const Var x = tape.leaf(p);
  tape.backward(std::vector{slice(x, 1, 1), scale(slice(x, 3, 1), 2)});
  EXPECT_THAT(gradient(p), ElementsAre(0, 1, 0, 2, 0));
  EXPECT_THAT(gradient(unused), ElementsAre(0, 0));
}

TEST_F(TapeTest, OverlappingViewsShareOneGradient) {
  Parameter p = parameter("p", {4}, {1, 2, 3, 4});
  Tape tape;
  const Var x = silu(scale(tape.leaf(p), 0));  // the slope of silu at 0 is 1/2, that of x is 0
  tape.backward(std::vector{slice(x, 0, 2), slice(x, 1, 2), x});
  EXPECT_THAT(gradient(p), ElementsAre(0, 0, 0, 0));
  Tape second;
  p.grad.written.clear();
  const Var y = scale(second.leaf(p), 3);
  second.backward(std::vector{slice(y, 0, 2), slice(y, 1, 2), reshape(y, {2, 2})});
  EXPECT_THAT(gradient(p), ElementsAre(6, 9, 6, 3));
}

TEST_F(TapeTest, AnOutputNamedTwiceCountsTwice) {
  Parameter p = parameter("p", {2}, {3, 5});
  Tape tape;
  const Var y = scale(tape.leaf(p), 2);
  tape.backward(std::vector{y, y});
  EXPECT_THAT(gradient(p), ElementsAre(4, 4));
  Tape second;
  second.backward(second.leaf(p));  // a leaf as the output, on top of what is there
  EXPECT_THAT(gradient(p), ElementsAre(5, 5));
}

TEST_F(TapeTest, SeedsWeighTheOutputsAndAnEmptyOneLeavesItsOutputOut) {
  Parameter p = parameter("p", {2}, {3, 5});
  Tape tape;
  const Var x = tape.leaf(p), a = scale(x, 2), b = scale(x, 100);
  tape.backward(std::vector{a, b}, std::vector{tensor({2}, {1, 10}), Tensor{}});
  EXPECT_THAT(gradient(p), ElementsAre(2, 20));
}

// Kernels may write their gradients in any order; inputs that share memory must not notice.
TEST_F(TapeTest, AnOpThatWritesItsGradientsBackwardsMaySeeOneInputTwice) {
  Parameter p = parameter("p", {3}, {1, 2, 3});
  Tape tape;
  const Var x = tape.leaf(p), tail = slice(x, 1, 2), head = slice(x, 0, 2);
  const Var y = record("backwards", tensor({2}, {0, 0}), {head, tail, head},
                       [&](const Tensor& dy, Tape::Grads d) {
                         for (int i = 2; i >= 0; --i)
                           cpu_.run(Accumulate{.to = d[i], .x = dy, .factor = i + 1.0});
                       });
  tape.backward(y);
  EXPECT_THAT(gradient(p), ElementsAre(1 + 3, 1 + 3 + 2, 2));
}

TEST_F(TapeTest, CheckpointReachesParametersInside) {
  Parameter p = parameter("p", {2}, {3, 5}), q = parameter("q", {2}, {7, 11});
  const auto body = [&](Tape* tape, std::span<const Var> in) {
    const Var w = leaf(tape, q);
    return std::vector{multiply(multiply(in[0], w), w)};
  };
  for (int micro_batch = 1; micro_batch <= 2; ++micro_batch) {
    Tape tape;
    tape.backward(checkpoint(&tape, body, {tape.leaf(p)})[0]);  // p q^2
    EXPECT_THAT(gradient(p), ElementsAre(49 * micro_batch, 121 * micro_batch));
    EXPECT_THAT(gradient(q), ElementsAre(2 * 3 * 7 * micro_batch, 2 * 5 * 11 * micro_batch));
  }
}

TEST_F(TapeTest, CheckpointOfConstantsReachesParametersInside) {
  Parameter q = parameter("q", {2}, {7, 11});
  Tape tape;
  const auto out = checkpoint(&tape,
                              [&](Tape* inner, std::span<const Var> in) {
                                return std::vector{multiply(in[0], leaf(inner, q)), in[0]};
                              },
                              {{tensor({2}, {3, 5})}});
  tape.backward(std::vector{out[0], scale(out[1], 4)});
  EXPECT_THAT(gradient(q), ElementsAre(3, 5));
}

TEST_F(TapeTest, CheckpointKeepsItsInputsOnly) {
  Parameter p = parameter("p", {1024}, Values(1024, 0.5));
  Tape tape;
  const Var x = tape.leaf(p);
  const std::size_t before = cpu_.pool().used();
  const auto body = [](Tape*, std::span<const Var> in) {
    return std::vector{silu(silu(silu(in[0])))};
  };
  const Var y = checkpoint(&tape, body, {x})[0];
  EXPECT_EQ(cpu_.pool().used() - before, 8192u);  // the output, nothing between
  tape.backward(y);
}

TEST_F(TapeTest, MixedTapesAreAnError) {
  Parameter p = parameter("p", {2}, {3, 5}), q = parameter("q", {2}, {7, 11});
  Tape one, other;
  const Var a = one.leaf(p), b = other.leaf(q);
  EXPECT_THAT(complaint([&] { add(a, b); }), HasSubstr("[add] inputs live on two tapes"));
  EXPECT_THAT(complaint([&] { other.backward(a); }), HasSubstr("recorded on this tape"));
  EXPECT_THAT(complaint([&] {
                checkpoint(&one, [](Tape*, auto v) { return std::vector(v.begin(), v.end()); },
                           {b});
              }),
              HasSubstr("[checkpoint] inputs live on another tape"));
}

TEST_F(TapeTest, AnOuterValueInsideACheckpointIsAnError) {
  Parameter p = parameter("p", {2}, {3, 5}), q = parameter("q", {2}, {7, 11});
  Tape tape;
  const Var a = tape.leaf(p), outer = tape.leaf(q);
  const auto mixes = [outer](Tape*, std::span<const Var> in) {
    return std::vector{multiply(in[0], outer)};
  };
  EXPECT_THAT(complaint([&] { checkpoint(&tape, mixes, {a}); }),
              HasSubstr("[checkpoint] its body used a value of a tape: pass it as an input"));
}

TEST_F(TapeTest, AParameterPassedInAndUsedInsideIsAnError) {
  Parameter p = parameter("p", {2}, {3, 5});
  const auto both = [&](Tape* tape, std::span<const Var> in) {
    return std::vector{multiply(in[0], leaf(tape, p))};
  };
  Tape tape;
  const Var y = checkpoint(&tape, both, {slice(tape.leaf(p), 0, 2)})[0];
  EXPECT_THAT(complaint([&] { tape.backward(y); }), HasSubstr("another leaf writes its gradient"));
}

TEST_F(TapeTest, ATapeServesOneStep) {
  Parameter p = parameter("p", {2}, {3, 5});
  Tape tape;
  const Var y = scale(tape.leaf(p), 2);
  tape.backward(y);
  EXPECT_THAT(complaint([&] { tape.backward(y); }), HasSubstr("backward runs once per tape"));
  EXPECT_THAT(complaint([&] { scale(y, 2); }), HasSubstr("[scale] recorded on a tape whose"));
  EXPECT_THAT(complaint([&] { slice(y, 0, 1); }), HasSubstr("[view] recorded on a tape whose"));
}

TEST_F(TapeTest, ASeedOfAnotherShapeIsAnError) {
  Parameter p = parameter("p", {2}, {3, 5});
  Tape tape;
  const Var y = scale(tape.leaf(p), 2);
  EXPECT_THAT(complaint([&] {
                tape.backward({&y, 1}, std::vector{tensor({3}, {1, 2, 3})});
              }),
              HasSubstr("[tape] seed: expected (2) f64, got (3) f64"));
}

TEST_F(TapeTest, ALeafWithoutAGradientIsAnError) {
  Parameter p = parameter("model.norm.weight", {2}, {3, 5});
  p.grad.tensor = {};
  Tape tape;
  EXPECT_THAT(complaint([&] { tape.leaf(p); }),
              HasSubstr("model.norm.weight: expected a gradient like the value, gradient is "
                        "nothing, value is (2) f64"));
}

// The gradient of codes is that of the value before rounding: same place, real numbers.
TEST_F(TapeTest, CodesShareTheirSourcesGradient) {
  Parameter p = parameter("p", {1, 2}, {3, 5});
  Tape tape;
  const Var x = tape.leaf(p);
  const QuantizedVar q = quantize_rows(x);
  EXPECT_EQ(q.codes.slot, x.slot);
  tape.backward(std::vector{scale(dequantize(q), 2), x});
  EXPECT_THAT(gradient(p), ElementsAre(3, 3));
}

// A loss whose gradients are made in its forward pass.
class Fault311 : public TapeTest {
 protected:
  Parameter x_ = parameter("x", {1, 1}, {1}), w_ = parameter("w", {2, 1}, {0, 0});
  Var loss(Tape& tape, double weight = 1) {
    return cross_entropy({.codes = tape.leaf(x_)}, {.codes = tape.leaf(w_)},
                         upload_ids(cpu_, {1}, {0}), tensor({1}, {weight}))
        .loss;
  }
};

// Gradients were those of the whole loss, whatever was done with it.
TEST_F(Fault311, NoOpTakesALossThatHasItsGradients) {
  Tape tape;
  const Var y = loss(tape);
  EXPECT_THAT(complaint([&] { scale(y, 0.5); }), HasSubstr("[scale] cannot read a loss"));
  const Var other = reshape(tape.leaf(x_), {1});
  EXPECT_THAT(complaint([&] { multiply(other, y); }), HasSubstr("[multiply] cannot read a loss"));
  EXPECT_THAT(complaint([&] { reshape(y, {1, 1}); }), HasSubstr("[view] cannot read a loss"));
  const auto body = [](Tape*, std::span<const Var> in) { return std::vector{scale(in[0], 2)}; };
  EXPECT_THAT(complaint([&] { checkpoint(&tape, body, {y}); }), HasSubstr("cannot read a loss"));
}

TEST_F(Fault311, NoSeedScalesIt) {
  for (const double seed : {0.5, 1.0}) {
    Tape tape;
    const Var y = loss(tape);
    EXPECT_THAT(complaint([&] {
                  tape.backward({&y, 1}, std::vector{tensor({1}, {seed})});
                }),
                HasSubstr("a loss whose gradients are computed already takes none"));
  }
}

TEST_F(Fault311, NorDoesACheckpointAroundIt) {
  Tape tape;
  const auto body = [&](Tape* inner, std::span<const Var> in) {
    return std::vector{cross_entropy({.codes = in[0]}, {.codes = leaf(inner, w_)},
                                     upload_ids(cpu_, {1}, {0}), tensor({1}, {1}))
                           .loss};
  };
  const Var y = checkpoint(&tape, body, {tape.leaf(x_)})[0];
  EXPECT_THAT(complaint([&] { tape.backward(scale(y, 0.5)); }), HasSubstr("checkpoint"));
}

TEST_F(Fault311, EveryLossThatWasMadeCountsOnce) {
  for (const int given : {0, 1, 3}) {
    Tape tape;
    const Var a = loss(tape), b = loss(tape);
    EXPECT_THAT(complaint([&] {
                  tape.backward(given == 3 ? std::vector{a, b, a} : std::vector<Var>(given, a));
                }),
                HasSubstr("expected every loss once, recorded 2, got " + std::to_string(given)));
  }
}

// The weight scales it; other losses are further outputs.
TEST_F(Fault311, ItsWeightScalesItAndOtherLossesAreAdded) {
  Tape tape;
  tape.backward(std::vector{loss(tape, 0.5), loss(tape, 1.5), scale(tape.leaf(w_), 3)});
  EXPECT_THAT(gradient(w_), ElementsAre(2 * -0.5 + 3, 2 * 0.5 + 3));
}

}  // namespace
}  // namespace tern
