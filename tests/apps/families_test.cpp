// What holds for every model family: a run learns, gives the same bits twice, after a stop and when
// it recomputes, and on ranks the losses of one process.
#include <nlohmann/json.hpp>

#include "tests/apps/rank_run.h"

namespace tern::test {
namespace {

struct FamilyForm {
  std::string name;
  Strings settings;
};

void PrintTo(const FamilyForm& form, std::ostream* out) {
  *out << form.name;
}

class Families : public testing::TestWithParam<FamilyForm> {
 protected:
  Command command(const std::string& name, const Strings& more = {},
                  const Strings& arguments = {}) const {
    return tiny_.command(name, GetParam().settings + more, arguments);
  }
  TinyRun tiny_;
};

INSTANTIATE_TEST_SUITE_P(
    Forms, Families,
    testing::Values(
        FamilyForm{"cumulative_mean", {"model.type=cumulative_mean"}},
        FamilyForm{"matmulfree_dense", {"model.quantize=none", "optimizer.lr=2e-3"}},
        FamilyForm{"transformer_dense",
                   {"model.type=transformer", "model.quantize=none", "optimizer.lr=2e-3"}},
        FamilyForm{"transformer_ternary", {"model.type=transformer"}},
        FamilyForm{"ternary_attention", {"model.type=transformer", "model.attention=ternary"}}),
    [](const auto& form) { return form.param.name; });

TEST_P(Families, LearnsWithTheSameBitsTwiceAndAfterAStop) {
  expect_success(command("a"));
  expect_success(command("b"));
  const auto loss = losses(tiny_.directory("a"));
  EXPECT_LT(loss.at(60), loss.at(1) - 0.3);
  EXPECT_EQ(tensors(tiny_.checkpoint("a", 60)), tensors(tiny_.checkpoint("b", 60)));

  const Outcome rest = run(command("rest", {}, {"--resume", tiny_.checkpoint("a", 40)}));
  ASSERT_EQ(rest.exit_code, 0) << rest.err;
  EXPECT_EQ(tensors(tiny_.checkpoint("rest", 60)), tensors(tiny_.checkpoint("a", 60)));
}

TEST_P(Families, RecomputingChangesNoBit) {
  expect_success(command("kept", {"memory.recompute=none"}));
  for (const std::string how : {"norms", "cheap", "full"}) {
    expect_success(command(how, {"memory.recompute=" + how}));
    EXPECT_EQ(tensors(tiny_.checkpoint(how, 60)), tensors(tiny_.checkpoint("kept", 60))) << how;
  }
}

TEST_P(Families, RanksGiveTheLossesOfOneProcess) {
  const Strings f64 = {"precision.dtype=f64", "run.steps=20"};
  expect_success(command("one", f64));
  expect_success(command("two", f64, kTwo));
  expect_near(losses(tiny_.directory("two")), losses(tiny_.directory("one")));
}

// Longer than the context of training and than what was rehearsed once: a cache has grown by then.
TEST_P(Families, WritesLongTextsInTheMemoryOfThePlan) {
  expect_success(
      command("run", {"run.steps=3", "logging.sample_interval=2", "logging.sample_tokens=600"}));
  const Outcome text =
      run({.args = {sibling_program("tern"), "generate", "--checkpoint", tiny_.directory("run"),
                    "--prompt", std::string(500, 'x') + " and so on", "-n", "700"}});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_GT(text.out.size(), 500u);
}

TEST_P(Families, EveryArrayOfATraceHasItsFormula) {
  expect_success(command("run", {"run.steps=2"}));
  const Outcome traced =
      run({.args = {sibling_program("tern"), "trace", "--checkpoint", tiny_.directory("run"),
                    "--tokens", "3,4,5", "--out", tiny_.room() / "trace"}});
  EXPECT_EQ(traced.exit_code, 0) << traced.err;
  const auto index = nlohmann::json::parse(read_text(tiny_.room() / "trace" / "index.json"));
  for (const auto& array : index.at("arrays")) {
    const std::string name = array.at("name"), formula = array.at("formula");
    EXPECT_EQ(formula == "parameter", name.ends_with("weight") || name.ends_with("lower_bounds"))
        << name;
  }
}

}  // namespace
}  // namespace tern::test
