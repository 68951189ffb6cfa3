// What happens to a training run when something goes wrong; rows of docs/faults.md.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <thread>

#include "apps/train/train.h"
#include "data/checkpoint/checkpoint.h"
#include "runtime/memory_plan.h"
#include "runtime/training_state.h"
#include "tests/apps/tiny_run.h"
#include "tests/support/complaint.h"

namespace tern::test {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

void flip_byte(const fs::path& file, std::uint64_t at) {
  std::string bytes = read_text(file);
  bytes.at(at) = char(bytes[at] ^ 1);
  write_text(file, bytes);
}

TEST(Fault01, KilledAtAnyMomentTheRunEndsInTheSameBits) {
  const TinyRun tiny;
  const std::vector<std::string> longer = {"run.steps=400", "checkpoint.interval=25"};
  ASSERT_EQ(run(tiny.command("whole", longer)).exit_code, 0);
  std::mt19937 random(7);
  int kills = 0;
  for (int i = 0; i < 20; ++i) {
    Process process(tiny.command("killed", longer, {"--resume", "auto"}));
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + random() % 400));
    process.send(SIGKILL);
    kills += process.wait().signal == SIGKILL;
  }
  EXPECT_GE(kills, 5) << "most runs ended before they were killed";
  ASSERT_EQ(run(tiny.command("killed", longer, {"--resume", "auto"})).exit_code, 0);
  EXPECT_EQ(tensors(tiny.checkpoint("whole", 400)), tensors(tiny.checkpoint("killed", 400)));
  EXPECT_EQ(losses(tiny.directory("whole")), losses(tiny.directory("killed")));
}

TEST(Fault05, SigtermFinishesTheStepSavesAndExits75) {
  const TinyRun tiny;
  Process process(tiny.command("stopped", {"run.steps=100000"}));
  ASSERT_TRUE(process.wait_for(" 30/100000"));
  process.send(SIGTERM);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.exit_code, 75) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("to resume, run: "));
  const NewestGood newest = newest_good(tiny.directory("stopped") / "checkpoints");
  ASSERT_TRUE(newest.path);
  EXPECT_GE(Checkpoint::open(*newest.path).manifest().step, 30u);
}

TEST(Fault07, OneSigintSavesASecondLeavesAtOnce) {
  const TinyRun tiny;
  Process once(tiny.command("once", {"run.steps=100000"}));
  ASSERT_TRUE(once.wait_for(" 30/100000"));
  once.send(SIGINT);
  EXPECT_EQ(once.wait().exit_code, 75);

  // a step that takes seconds, so that the second signal arrives before the first is served
  Process twice(
      tiny.command("twice", {"run.steps=9", "batch.tokens=400000", "batch.micro_batch=100",
                             "logging.sample_interval=0", "logging.validation_interval=0"}));
  ASSERT_TRUE(twice.wait_for("starting with new weights"));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  twice.send(SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  twice.send(SIGINT);
  EXPECT_EQ(twice.wait().exit_code, 130);
}

TEST(Fault13, AFullDiskLosesNoCheckpointAndTrainingGoesOn) {
  const TinyRun tiny;
  Command small = tiny.command("full");
  small.limits = {{RLIMIT_FSIZE, 200'000}};  // metrics fit, a checkpoint does not
  const Outcome outcome = run(small);
  EXPECT_EQ(outcome.exit_code, 6) << outcome.err;  // all steps ran, the last save failed
  EXPECT_EQ(losses(tiny.directory("full")).size(), 60u);
  EXPECT_FALSE(newest_good(tiny.directory("full") / "checkpoints").path);
  for (const auto& entry : fs::directory_iterator(tiny.directory("full") / "checkpoints"))
    EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
  ASSERT_EQ(run(tiny.command("full")).exit_code, 0) << "the run is not lost either";
}

TEST(Fault22, AutoFallsBackAnExplicitPathNever) {
  const TinyRun tiny;
  ASSERT_EQ(run(tiny.command("run")).exit_code, 0);
  const fs::path newest = tiny.checkpoint("run", 60);
  const fs::path part = newest / "rank-000-part-00.h5";
  fs::resize_file(part, fs::file_size(part) - 1);

  const Outcome explicitly = run(tiny.command("run", {}, {"--resume", newest.string()}));
  EXPECT_EQ(explicitly.exit_code, 3);
  EXPECT_THAT(explicitly.err, HasSubstr("rank-000-part-00.h5"));

  const Outcome automatic = run(tiny.command("run", {}, {"--resume", "auto"}));
  EXPECT_EQ(automatic.exit_code, 0) << automatic.err;
  EXPECT_THAT(automatic.out, HasSubstr("passed over"));
  EXPECT_THAT(automatic.out, HasSubstr("step-00000040"));
}

TEST(Fault23, AFlippedBitNamesFileAndTensor) {
  const TinyRun tiny;
  ASSERT_EQ(run(tiny.command("run")).exit_code, 0);
  const fs::path path = tiny.checkpoint("run", 60);
  const Checkpoint checkpoint = Checkpoint::open(path);
  const StoredTensor* norm = checkpoint.find("model.norm.weight");
  ASSERT_TRUE(norm);
  flip_byte(path / norm->pieces[0].file, norm->pieces[0].offset + 3);
  const Outcome outcome = run(tiny.command("run", {}, {"--resume", path.string()}));
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("model.norm.weight"));
  EXPECT_THAT(outcome.err, HasSubstr(norm->pieces[0].file));
}

TEST(Fault24, AStateWithNumbersThatAreNoneIsRefused) {
  const nlohmann::json state = to_json(TrainingState{
      .step = 3, .position = 96, .bad = {1, 0, 2, 64}, .best_loss = 4, .best_step = 2});
  EXPECT_EQ(to_json(training_state(state, "m")), state);
  for (const char* key : {"/step", "/position", "/skipped", "/best/step", "/bad/in_a_row",
                          "/bad/rewinds", "/bad/first_step", "/bad/first_position"})
    for (const nlohmann::json& value : {nlohmann::json(-1), nlohmann::json(1e30),
                                        nlohmann::json(0.5), nlohmann::json(1ull << 63)}) {
      nlohmann::json broken = state;
      broken[nlohmann::json::json_pointer(key)] = value;
      const std::string text = complaint([&] { training_state(broken, "m"); });
      EXPECT_THAT(text, HasSubstr("m: manifest.json: state")) << key << ' ' << value;
    }
}

TEST(Fault27, AnotherModelIsRefusedWithEveryKeyAnotherRateIsNot) {
  const TinyRun tiny;
  ASSERT_EQ(run(tiny.command("run")).exit_code, 0);
  const Outcome other =
      run(tiny.command("run", {"model.hidden_size=32", "batch.context=32"}, {"--resume", "auto"}));
  EXPECT_EQ(other.exit_code, 3);
  EXPECT_THAT(other.err, HasSubstr("model.hidden_size"));
  EXPECT_THAT(other.err, HasSubstr("batch.context"));
  const Outcome rate =
      run(tiny.command("run", {"optimizer.lr=1e-3", "run.steps=80"}, {"--resume", "auto"}));
  EXPECT_EQ(rate.exit_code, 0) << rate.err;
}

TEST(Fault47, AVocabularyThatIsNotTheTokenizersIsRefused) {
  const TinyRun tiny;
  const Outcome outcome = run(tiny.command("run", {"model.vocab_size=321"}));
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("expected 320"));
  EXPECT_FALSE(fs::exists(tiny.directory("run")));
}

// Embeddings decay away and overflow at a rate like this one: the loss is NaN for good.
const std::vector<std::string> kBroken = {"run.steps=100",         "optimizer.lr=1000",
                                          "optimizer.eps=1e-30",   "optimizer.weight_decay=10",
                                          "optimizer.clip=0",      "schedule.preset=constant",
                                          "schedule.warmup=0",     "numerics.max_skipped=2",
                                          "numerics.max_rewinds=2"};

TEST(Fault54, ALossThatIsNotFiniteIsSkippedThenRewoundThenGivenUp) {
  const TinyRun tiny;
  ASSERT_EQ(run(tiny.command("run", {"run.steps=40"})).exit_code, 0);
  const auto good = tensors(tiny.checkpoint("run", 40));
  const Outcome outcome = run(tiny.command("run", kBroken, {"--resume", "auto"}));
  EXPECT_EQ(outcome.exit_code, 4) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("diverged"));
  EXPECT_GE(events(tiny.directory("run"), "skip"), 4);
  EXPECT_EQ(events(tiny.directory("run"), "rewind"), 2);
  EXPECT_EQ(tensors(tiny.checkpoint("run", 40)), good);
}

// On a GPU the next step is under way before a loss is judged; here the same on a CPU.
TEST(Fault54, ARunAheadOfItsLossesTakesTheSameDecisions) {
  const TinyRun tiny;
  const WithoutPictures here;
  testing::internal::CaptureStdout();
  train({.config_file = tiny.config(),
         .overrides = {"run.name=ahead", "run.steps=40"},
         .runs_ahead = true});
  ASSERT_EQ(run(tiny.command("judged", {"run.steps=40"})).exit_code, 0);
  EXPECT_EQ(tensors(tiny.checkpoint("ahead", 40)), tensors(tiny.checkpoint("judged", 40)));
  EXPECT_EQ(losses(tiny.directory("ahead")), losses(tiny.directory("judged")));

  std::vector<std::string> broken = kBroken;
  ASSERT_EQ(run(tiny.command("judged", broken, {"--resume", "auto"})).exit_code, 4);
  broken.push_back("run.name=ahead");
  const TrainOptions ahead{
      .config_file = tiny.config(), .overrides = broken, .resume = "auto", .runs_ahead = true};
  EXPECT_THAT(complaint([&] { train(ahead); }), HasSubstr("diverged"));
  testing::internal::GetCapturedStdout();
  for (const char* kind : {"skip", "rewind", "give_up"})
    EXPECT_EQ(events(tiny.directory("ahead"), kind), events(tiny.directory("judged"), kind))
        << kind;
  EXPECT_EQ(losses(tiny.directory("ahead")), losses(tiny.directory("judged")));
}

TEST(Fault53, AGpuThatIsNotThereIsOneLine) {
  const TinyRun tiny;
  for (const char* device : {"cuda:99", "cuda:x", "tpu"}) {
    const Outcome outcome = run(tiny.command("none", {}, {"--device", device}));
    EXPECT_EQ(outcome.exit_code, 2) << device;
    EXPECT_THAT(outcome.err, HasSubstr("device")) << device;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_FALSE(fs::exists(tiny.directory("none")));
  }
}

TEST(Fault67, AfterADeviceErrorTheLastCheckpointIsIntact) {
  const TinyRun tiny;
  const Command planning{
      .args = {sibling_program("tern"), "plan", tiny.config(), "--device", "cuda:0"}};
  if (run(planning).exit_code != 0) GTEST_SKIP() << "needs an NVIDIA GPU";
  const std::vector<std::string> options = {"--device", "cuda", "--set",
                                            "precision.activations=f32"};
  ASSERT_EQ(run(tiny.command("whole", {}, options)).exit_code, 0);
  std::vector<std::string> broken = options;
  broken.insert(broken.end(), {"--inject", "device-error:step=50"});
  const Outcome outcome = run(tiny.command("broken", {}, broken));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("illegal memory access"));
  EXPECT_THAT(outcome.err, HasSubstr("the last good checkpoint is of step 40: run again"));
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_EQ(tensors(tiny.checkpoint("broken", 40)), tensors(tiny.checkpoint("whole", 40)));
  ASSERT_EQ(run(tiny.command("broken", {}, options)).exit_code, 0);
  EXPECT_EQ(tensors(tiny.checkpoint("broken", 60)), tensors(tiny.checkpoint("whole", 60)));
}

TEST(Fault67, ADeviceErrorIsProvokedOnAGpuOnly) {
  const TinyRun tiny;
  for (const char* inject : {"device-error:step=5", "device-error:step=0", "device-error", "x"}) {
    const Outcome outcome = run(tiny.command("none", {}, {"--inject", inject}));
    EXPECT_EQ(outcome.exit_code, 2) << inject;
    EXPECT_THAT(outcome.err, HasSubstr("--inject")) << inject;
  }
}

TEST(Fault60, OutOfMemoryNamesThePartsAndTheLargestBatchThatFits) {
  RunConfig config;
  config.model = named_model("2.7b");
  config.batch = {.tokens = 524'288, .context = 2048, .micro_batch = 64};
  const Device h200 = Device::recorded_h200();
  const std::string text = complaint([&] { choose_memory_plan(config, h200); });
  for (const char* part : {"parameters", "gradients", "moments", "activations", "are available"})
    EXPECT_THAT(text, HasSubstr(part));
  const auto at = text.find("the largest micro_batch that fits is ");
  ASSERT_NE(at, std::string::npos) << text;
  config.batch.micro_batch = std::stoi(text.substr(at + 37));
  EXPECT_LE(choose_memory_plan(config, h200).peak, h200.available_memory());
  ++config.batch.micro_batch;
  EXPECT_THAT(complaint([&] { choose_memory_plan(config, h200); }), HasSubstr("out of memory"));
}

}  // namespace
}  // namespace tern::test
