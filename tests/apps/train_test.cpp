// tern train, eval and generate from the outside, on a model that trains in a second.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "data/checkpoint/manifest.h"
#include "runtime/trainer.h"
#include "tests/apps/tiny_run.h"
#include "tests/support/npy.h"

namespace tern::test {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

Outcome tern_command(std::vector<std::string> args) {
  args.insert(args.begin(), sibling_program("tern"));
  return run({.args = args});
}

// docs/adding_a_mixer.md ends so: the example's family from a TOML file, trained, resumed and read.
TEST(Train, TheExampleOfANewMixerIsTrainedFromAFile) {
  const TinyRun tiny;
  std::string text = read_text(tiny.config());
  const std::size_t model = text.find("[model]\n");
  ASSERT_NE(model, std::string::npos);
  text.insert(model + 8, "type = \"cumulative_mean\"\n");
  write_text(tiny.config(), text);
  const Outcome first = run(tiny.command("mixer", {"run.steps=60"}));
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const auto loss = losses(tiny.directory("mixer"));
  EXPECT_LT(loss.at(60), loss.at(1) - 0.5);
  EXPECT_TRUE(tensors(tiny.checkpoint("mixer", 60)).contains("model.layers.0.mixer.key.weight"));
  const std::string here = tiny.directory("mixer").string();
  const Outcome eval =
      tern_command({"eval", "--checkpoint", here, "--data", tiny_corpus().string()});
  EXPECT_EQ(eval.exit_code, 0) << eval.err;
  const Outcome generated =
      tern_command({"generate", "--checkpoint", here, "--prompt", "To be", "-n", "20"});
  EXPECT_EQ(generated.exit_code, 0) << generated.err;
  EXPECT_THAT(generated.out, HasSubstr("To be"));
}

TEST(Train, LeavesARunThatCanBeEvaluatedAndWritesText) {
  const TinyRun tiny;
  const Outcome trained = run(tiny.command("a", {"logging.diagnostics_interval=20"}));
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const fs::path here = tiny.directory("a");
  for (const char* file : {"config.resolved.toml", "env.json", "metrics.jsonl", "train.log"})
    EXPECT_TRUE(fs::is_regular_file(here / file)) << file;
  const auto loss = losses(here);
  ASSERT_EQ(loss.size(), 60u);
  EXPECT_LT(loss.at(60), loss.at(1) - 0.5) << "the loss did not fall";
  EXPECT_NEAR(loss.at(1), std::log(320.0), 0.3) << "a new model knows nothing";

  const Outcome eval =
      tern_command({"eval", "--checkpoint", here.string(), "--data", tiny_corpus().string()});
  EXPECT_EQ(eval.exit_code, 0) << eval.err;
  EXPECT_THAT(eval.out, HasSubstr("bits per byte"));

  const std::vector<std::string> write = {"generate", "--checkpoint", here.string(), "--prompt",
                                          "ROMEO:",   "-n",           "20",          "--seed"};
  const auto with_seed = [&](const char* seed) {
    std::vector<std::string> args = write;
    args.push_back(seed);
    const Outcome o = tern_command(args);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    EXPECT_TRUE(o.out.starts_with("ROMEO:")) << o.out;
    return o.out;
  };
  EXPECT_EQ(with_seed("1"), with_seed("1"));
  EXPECT_NE(with_seed("1"), with_seed("2"));

  const Outcome traced = tern_command({"trace", "--checkpoint", here.string(), "--text",
                                       "ROMEO:", "--out", (here / "trace").string()});
  EXPECT_EQ(traced.exit_code, 0) << traced.err;
  EXPECT_TRUE(fs::is_regular_file(here / "trace/index.json"));
  const NpyArray logits = read_npy(here / "trace/lm_head.output.npy");
  ASSERT_EQ(logits.shape.size(), 2u);
  EXPECT_EQ(logits.shape[1], 320);
  EXPECT_GT(logits.shape[0], 1) << "bos and the text";
}

TEST(Train, TheLastStepIsSavedOnce) {
  const TinyRun tiny;
  ASSERT_EQ(run(tiny.command("a", {"checkpoint.interval=30"})).exit_code, 0);
  const std::string metrics = read_text(tiny.directory("a") / "metrics.jsonl");
  int saves = 0;
  for (std::size_t at = 0; (at = metrics.find("\"t\":\"ckpt\"", at)) != std::string::npos; ++at)
    ++saves;
  EXPECT_EQ(saves, 2);
}

TEST(Train, AStoppedRunGoesOnToTheSameBits) {
  const TinyRun tiny;
  ASSERT_EQ(run(tiny.command("whole", {"run.steps=300"})).exit_code, 0);
  int stops = 0;
  for (const char* seen : {" 70/300", "180/300", ""}) {  // a resume of a resume
    Process process(tiny.command("parts", {"run.steps=300"}));
    if (*seen && process.wait_for(seen)) process.send(SIGTERM);
    const Outcome outcome = process.wait();
    ASSERT_TRUE(outcome.exit_code == 0 || outcome.exit_code == 75) << outcome.err;
    stops += outcome.exit_code == 75;
  }
  EXPECT_GE(stops, 1) << "the run was never stopped in time to show anything";
  EXPECT_EQ(losses(tiny.directory("whole")), losses(tiny.directory("parts")));
  EXPECT_EQ(tensors(tiny.checkpoint("whole", 300)), tensors(tiny.checkpoint("parts", 300)));
}

// As if the checkpoint came from a GPU whose products take other algorithms than here.
TEST(Train, OtherAlgorithmsThanTheCheckpointsAreSaid) {
  const TinyRun tiny;
  ASSERT_EQ(run(tiny.command("a", {"checkpoint.interval=30"})).exit_code, 0);
  const fs::path manifest = tiny.checkpoint("a", 30) / "manifest.json";
  const auto resume = [&](const std::string& name) {
    return run(tiny.command(name, {}, {"--resume", tiny.checkpoint("a", 30).string()}));
  };
  EXPECT_THAT(resume("same").err, testing::Not(HasSubstr("algorithms")));
  Manifest m = parse_manifest(read_text(manifest), manifest.string());
  EXPECT_EQ(m.state.at("algorithms"), "");
  m.state["algorithms"] = "0123abcd";
  write_text(manifest, to_text(m));
  const Outcome o = resume("other");
  EXPECT_EQ(o.exit_code, 0);
  EXPECT_THAT(read_text(tiny.directory("other") / "train.log"),
              HasSubstr("other measured algorithms of products (0123abcd, here none)"));
  EXPECT_EQ(losses(tiny.directory("other")), losses(tiny.directory("same")));
}

TEST(Train, EightBitProductsTrainOnACpuAndAreRefusedByOlderGpus) {
  const TinyRun tiny;
  ASSERT_EQ(run(tiny.command("exact")).exit_code, 0);
  std::vector<std::map<int, double>> all{losses(tiny.directory("exact"))};
  RunConfig config;
  for (const DeviceTraits& device : {DeviceTraits{}, DeviceTraits::h200()})
    EXPECT_EQ(model_options(config, device).backward, BackwardProducts::stored) << "auto is exact";
  for (const auto& [name, choice, products] :
       {std::tuple("fp8_dx", Backward::fp8_dx, BackwardProducts::fp8_dx),
        std::tuple("fp8", Backward::fp8, BackwardProducts::fp8)}) {
    config.backward = choice;
    EXPECT_EQ(model_options(config, {}).backward, products);
    EXPECT_EQ(model_options(config, DeviceTraits::h200()).backward, products);
    try {
      model_options(config, {.multiprocessors = 108});
      FAIL() << "accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.fault, Fault::usage);
      EXPECT_THAT(e.what(), HasSubstr("precision.backward: 8-bit products need a GPU"));
    }
    ASSERT_EQ(run(tiny.command(name, {std::string("precision.backward=") + name,
                                      "logging.diagnostics_interval=20"}))
                  .exit_code,
              0);
    const std::string metrics = read_text(tiny.directory(name) / "metrics.jsonl");
    EXPECT_EQ(metrics.find("fp8_underflow") != std::string::npos, rounds_dw(products)) << name;
    const auto rounded = losses(tiny.directory(name));
    for (const auto& other : all) EXPECT_NE(other, rounded) << name;
    EXPECT_NEAR(all[0].rbegin()->second, rounded.rbegin()->second, 0.1) << name;
    all.push_back(rounded);
  }
}

// Half the bytes in the checkpoint, and a run that loses its last one comes to the same bits again.
TEST(Train, MomentsInHalfPrecisionAreSavedExactly) {
  const TinyRun tiny;
  const Command command = tiny.command("half", {"optimizer.moments=bf16"});
  ASSERT_EQ(run(command).exit_code, 0);
  const auto saved = tensors(tiny.checkpoint("half", 60));
  EXPECT_EQ(2 * saved.at("second_moment.lm_head.weight").size(), saved.at("lm_head.weight").size());
  EXPECT_LT(losses(tiny.directory("half")).at(60), losses(tiny.directory("half")).at(1) - 0.5);
  fs::remove_all(tiny.checkpoint("half", 60));
  const Outcome again = run(command);
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("(step 40)"));
  EXPECT_EQ(tensors(tiny.checkpoint("half", 60)), saved);
}

// optimizer.moments may change from one start to the next: what is saved is read into what is asked
// for, to nearest.
TEST(Train, MomentsChangeTheirFormatOnTheWay) {
  const TinyRun tiny;
  const auto go_on = [&](const char* name, const char* first, const char* then) {
    const auto moments = [](const char* format) {
      return std::string("optimizer.moments=") + format;
    };
    ASSERT_EQ(run(tiny.command(name, {moments(first), "run.steps=30"})).exit_code, 0);
    const Outcome second =
        run(tiny.command(name, {moments(then), "run.steps=60"}, {"--resume", "auto"}));
    ASSERT_EQ(second.exit_code, 0) << second.err;
    EXPECT_EQ(tensors(tiny.checkpoint(name, 60)).at("first_moment.model.norm.weight").size(),
              16u * (then == std::string("f32") ? 4 : 2));
    EXPECT_LT(losses(tiny.directory(name)).at(60), losses(tiny.directory(name)).at(1) - 0.5);
  };
  go_on("narrower", "f32", "bf16");
  go_on("wider", "bf16", "f32");
}

// Checkpoints hold no gradients, so a run may change their format whenever it goes on; and where it
// does not, it comes to the same bits again.
TEST(Train, GradientsInHalfPrecisionLearnAndResumeExactly) {
  const TinyRun tiny;
  const Command command = tiny.command("half", {"optimizer.gradients=bf16"});
  ASSERT_EQ(run(command).exit_code, 0);
  const auto saved = tensors(tiny.checkpoint("half", 60));
  EXPECT_LT(losses(tiny.directory("half")).at(60), losses(tiny.directory("half")).at(1) - 0.5);
  fs::remove_all(tiny.checkpoint("half", 60));
  ASSERT_EQ(run(command).exit_code, 0);
  EXPECT_EQ(tensors(tiny.checkpoint("half", 60)), saved);
  fs::remove_all(tiny.checkpoint("half", 60));
  ASSERT_EQ(run(tiny.command("half", {"optimizer.gradients=f32"}, {"--resume", "auto"})).exit_code,
            0);
  EXPECT_NE(tensors(tiny.checkpoint("half", 60)), saved);
}

TEST(Train, HowABatchIsSplitChangesOnlyRounding) {
  const TinyRun tiny;
  for (const char* split : {"1", "2", "4"})
    ASSERT_EQ(
        run(tiny.command(split, {"precision.dtype=f64", std::string("batch.micro_batch=") + split}))
            .exit_code,
        0);
  const auto whole = losses(tiny.directory("4"));
  for (const char* split : {"1", "2"})
    for (const auto& [step, loss] : losses(tiny.directory(split)))
      EXPECT_NEAR(loss, whole.at(step), 1e-6) << "step " << step << ", micro_batch " << split;
}

TEST(Train, RecomputeGivesTheSameBits) {
  const TinyRun tiny;
  ASSERT_EQ(run(tiny.command("none")).exit_code, 0);
  for (const char* what : {"norms", "cheap", "full"}) {
    ASSERT_EQ(run(tiny.command(what, {std::string("memory.recompute=") + what})).exit_code, 0);
    EXPECT_EQ(tensors(tiny.checkpoint("none", 60)), tensors(tiny.checkpoint(what, 60))) << what;
  }
}

TEST(Train, RecomputeGivesTheSameDiagnostics) {
  const TinyRun tiny;
  for (const char* what : {"none", "norms", "cheap", "full"})
    ASSERT_EQ(run(tiny.command(what, {std::string("memory.recompute=") + what, "run.steps=20",
                                      "precision.backward=fp8", "logging.diagnostics_interval=20"}))
                  .exit_code,
              0);
  const std::vector<std::string> kept = reports(tiny.directory("none"), {"diagnostics"});
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_THAT(kept[0], HasSubstr("fp8_underflow"));
  for (const char* what : {"norms", "cheap", "full"})
    EXPECT_EQ(reports(tiny.directory(what), {"diagnostics"}), kept) << what;
}

TEST(Train, BranchesFromAnotherRunsCheckpoint) {
  const TinyRun tiny;
  ASSERT_EQ(run(tiny.command("trunk")).exit_code, 0);
  const std::string from = "init_from.path=" + tiny.checkpoint("trunk", 60).string();
  ASSERT_EQ(run(tiny.command("branch", {from, "init_from.moments=true"})).exit_code, 0);
  const auto trunk = losses(tiny.directory("trunk")), branch = losses(tiny.directory("branch"));
  EXPECT_LT(branch.at(1), trunk.at(1) - 0.5) << "the branch started from new weights";
}

TEST(Train, WithoutQuantisersTheControlExperimentRuns) {
  const TinyRun tiny;
  ASSERT_EQ(run(tiny.command("float", {"model.quantize=none", "optimizer.lr=2e-3"})).exit_code, 0);
  const auto loss = losses(tiny.directory("float"));
  EXPECT_LT(loss.at(60), loss.at(1) - 0.3);
}

TEST(Train, TimeLimitStopsWithACheckpoint) {
  const TinyRun tiny;
  const Outcome outcome = run(tiny.command("limited", {"run.steps=1000000", "run.time_limit=2"}));
  EXPECT_EQ(outcome.exit_code, 75) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("time_limit"));
}

TEST(Plan, HalfPrecisionTakesHalf) {
  // 374,108,160 parameters, in the plan and, with the pack's padding, in the rehearsal
  const auto expect_bytes = [](const std::string& what, const char* format, const char* bytes) {
    const Outcome plan = tern_command({"plan", "configs/370m.toml", "--without-data", "--set",
                                       "optimizer." + what + "=" + format});
    EXPECT_EQ(plan.exit_code, 0) << plan.err;
    const std::string row = fmt::format("  {:<24}{:>20}\n", what, bytes);
    EXPECT_THAT(plan.out, HasSubstr(row));
    EXPECT_THAT(plan.out.substr(plan.out.find("memory, ")), HasSubstr(row));
  };
  expect_bytes("moments", "f32", "2.99 GB");
  expect_bytes("moments", "bf16", "1.5 GB");
  expect_bytes("gradients", "f32", "1.5 GB");
  expect_bytes("gradients", "bf16", "748 MB");
}

TEST(Plan, ChecksWhatTrainingWouldAndFailsAsItWould) {
  const TinyRun tiny;
  Command plan = tiny.command("planned");
  plan.args[1] = "plan";
  const Outcome good = run(plan);
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_THAT(good.out, HasSubstr("peak"));
  plan.args.insert(plan.args.end(), {"--set", "data.source.0.path=/nowhere"});
  const Outcome bad = run(plan);
  EXPECT_EQ(bad.exit_code, 3) << bad.err;
  EXPECT_THAT(bad.err, HasSubstr("/nowhere"));
}

}  // namespace
}  // namespace tern::test
