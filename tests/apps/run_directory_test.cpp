#include "apps/run/run_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using testing::HasSubstr;

constexpr const char* kConfig = "seed = 1\n";

OtherRun other_than(const std::string& config) {
  return [=](const std::string& saved, const std::string&) {
    return saved == config ? "" : saved + " became " + config;
  };
}

RunDirectory open_run(const std::string& path, Existing existing = Existing::same,
                      const std::string& config = kConfig) {
  RunDirectory run(path, existing, other_than(config));
  run.begin(config, describe_environment({"tern", "train"}, {}));
  return run;
}

std::string refusal(const std::string& path, Existing existing,
                    const std::string& config = kConfig) {
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
  { const RunDirectory failed(d / "r", Existing::resume, other_than("seed = 2\n")); }
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
  RunDirectory run = open_run(d / "r", Existing::overwrite, "seed = 2\n");
  run.keep();
  EXPECT_FALSE(std::filesystem::exists(run.metrics()));
  EXPECT_TRUE(std::filesystem::is_empty(run.checkpoints()));
  EXPECT_EQ(read_text(d / "r/notes.txt"), "mine");
  EXPECT_EQ(read_text(d / "r/config.resolved.toml"), "seed = 2\n");
}

// names and contents below a directory, without the lock
std::map<std::string, std::string> contents(const std::filesystem::path& directory) {
  std::map<std::string, std::string> all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory))
    if (entry.path().filename() != ".lock")
      all[entry.path().lexically_relative(directory)] =
          entry.is_regular_file() ? read_text(entry.path()) : "";
  return all;
}

TEST(Fault304, ARunIsBackIfItsSuccessorMakesNoStep) {
  const TemporaryDirectory d;
  { open_run(d / "r"); }
  write_text(d / "r/metrics.jsonl", "{}\n");
  write_text(d / "r/notes.txt", "mine");
  std::filesystem::create_directories(d / "r/checkpoints/step-00000010");
  const auto before = contents(d / "r");
  const auto old = std::filesystem::canonical(d / "r/checkpoints/step-00000010");
  {
    const RunDirectory run = open_run(d / "r", Existing::overwrite, "seed = 2\n");
    write_text(run.metrics(), "{\"new\":1}\n");
    EXPECT_TRUE(std::filesystem::is_directory(run.now_at(old)));
    EXPECT_EQ(run.now_at(d / "other"), d / "other");
  }
  EXPECT_EQ(contents(d / "r"), before);
}

TEST(Fault304, SoItIsAfterACrash) {
  const TemporaryDirectory d;
  { open_run(d / "r"); }
  write_text(d / "r/metrics.jsonl", "{}\n");
  const auto before = contents(d / "r");
  Process killed({.body = [&] {
    const RunDirectory run = open_run(d / "r", Existing::overwrite, "seed = 2\n");
    write_text(run.metrics(), "{\"new\":1}\n");
    std::puts("replaced"), std::fflush(stdout);
    for (;;) pause();
    return 0;
  }});
  ASSERT_TRUE(killed.wait_for("replaced"));
  killed.send(SIGKILL);
  killed.wait();
  EXPECT_THAT(refusal(d / "r", Existing::same, "seed = 2\n"), HasSubstr("a different run"));
  EXPECT_EQ(contents(d / "r"), before);
  // on the way there: what has been moved comes back, the rest stays
  std::filesystem::create_directories(d / "r/.replaced.tmp");
  std::filesystem::rename(d / "r/metrics.jsonl", d / "r/.replaced.tmp/metrics.jsonl");
  { const RunDirectory again(d / "r", Existing::resume, other_than(kConfig)); }
  EXPECT_EQ(contents(d / "r"), before);
}

TEST(Fault127, EachStartIsKept) {
  const TemporaryDirectory d;
  for (const char* config : {"seed = 1\n", "seed = 1\n", "seed = 2\n"})
    open_run(d / "r", Existing::resume, config);
  for (const char* file : {"env.json", "earlier/1-env.json", "earlier/2-env.json"})
    EXPECT_TRUE(
        nlohmann::json::parse(read_text(d / ("r/" + std::string(file)))).contains("command"))
        << file;
  EXPECT_EQ(read_text(d / "r/config.resolved.toml"), "seed = 2\n");
  EXPECT_EQ(read_text(d / "r/earlier/2-config.resolved.toml"), "seed = 1\n");
  EXPECT_FALSE(std::filesystem::exists(d / "r/earlier/1-config.resolved.toml"));
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
