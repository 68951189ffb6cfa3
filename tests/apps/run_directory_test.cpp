#include "apps/run/run_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/check.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using testing::HasSubstr;

constexpr const char* kConfig = "seed = 1\n";

RunDirectory open_run(const std::string& path, Existing existing = Existing::same,
                      const char* config = kConfig) {
  RunDirectory run(path, existing, config);
  run.begin(config, describe_environment({"tern", "train"}, {}));
  return run;
}

std::string refusal(const std::string& path, Existing existing, const char* config = kConfig) {
  try {
    open_run(path, existing, config);
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::usage) << e.what();
    return e.what();
  }
  return "";
}

TEST(RunDirectory, MakesWhatARunNeeds) {
  const TemporaryDirectory d;
  const RunDirectory run = open_run(d / "runs/demo");
  EXPECT_EQ(read_text(run.path() / "config.resolved.toml"), kConfig);
  EXPECT_TRUE(std::filesystem::is_directory(run.checkpoints()));
  EXPECT_EQ(run.sample(1000), d / "runs/demo/samples/step-00001000.txt");
  const auto env = nlohmann::json::parse(read_text(run.path() / "env.json"));
  for (const char* key : {"version", "git", "compiler", "cpu", "cores", "memory_bytes", "system",
                          "host", "started", "directory", "command", "libraries"})
    EXPECT_TRUE(env.contains(key)) << key;
  EXPECT_EQ(env["version"], "0.1.0");
  EXPECT_EQ(env["command"], nlohmann::json({"tern", "train"}));
  EXPECT_GE(env["cores"], 1);
}

TEST(RunDirectory, AFailureBeforeTheFirstStepLeavesNoRun) {
  const TemporaryDirectory d;
  { open_run(d / "r"); }
  EXPECT_EQ(refusal(d / "r", Existing::refuse, "seed = 2\n"), "");
}

TEST(RunDirectory, AFailedResumeChangesNothing) {
  const TemporaryDirectory d;
  { open_run(d / "r"); }
  write_text(d / "r/metrics.jsonl", "{}\n");
  const std::string env = read_text(d / "r/env.json");
  { const RunDirectory failed(d / "r", Existing::resume, "seed = 2\n"); }
  EXPECT_EQ(read_text(d / "r/config.resolved.toml"), kConfig);
  EXPECT_EQ(read_text(d / "r/env.json"), env);
  EXPECT_EQ(read_text(d / "r/metrics.jsonl"), "{}\n");
}

TEST(RunDirectory, OverwriteRemovesTheRunAndNothingElse) {
  const TemporaryDirectory d;
  { open_run(d / "r"); }
  write_text(d / "r/metrics.jsonl", "{}\n");
  write_text(d / "r/notes.txt", "mine");
  std::filesystem::create_directories(d / "r/checkpoints/step-00000010");
  const RunDirectory run = open_run(d / "r", Existing::overwrite, "seed = 2\n");
  EXPECT_FALSE(std::filesystem::exists(run.metrics()));
  EXPECT_TRUE(std::filesystem::is_empty(run.checkpoints()));
  EXPECT_EQ(read_text(d / "r/notes.txt"), "mine");
  EXPECT_EQ(read_text(d / "r/config.resolved.toml"), "seed = 2\n");
}

TEST(RunDirectory, KeepsOutOfOtherPeoplesDirectories) {
  const TemporaryDirectory d;
  write_text(d / "thesis.tex", "");
  for (const Existing e : {Existing::same, Existing::resume, Existing::overwrite})
    EXPECT_THAT(refusal(d.path(), e), HasSubstr("found other files"));
  EXPECT_THAT(refusal(d / "thesis.tex", Existing::same), HasSubstr("found a file"));
  EXPECT_FALSE(std::filesystem::exists(d / ".lock"));
}

TEST(RunDirectory, TakesASaveRequestOnce) {
  const TemporaryDirectory d;
  const RunDirectory run = open_run(d / "r");
  EXPECT_FALSE(run.take_save_request());
  write_text(d / "r/SAVE", "");
  EXPECT_TRUE(run.take_save_request());
  EXPECT_FALSE(run.take_save_request());
}

}  // namespace
}  // namespace tern
