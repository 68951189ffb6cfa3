// What goes wrong with the directory of a run: rows 15, 16 and 20 of the fault list.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "apps/run/run_directory.h"
#include "core/check.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using testing::HasSubstr;

RunDirectory open_run(const std::string& path, Existing existing = Existing::same,
                      const char* config = "seed = 1\n") {
  RunDirectory run(path, existing, [&](const std::string& saved, const std::string&) {
    return saved == config ? "" : "it was " + saved;
  });
  run.begin(config, describe_environment({"tern", "train"}, {}));
  return run;
}

// runs in a child: the exit code and message of the Error that body throws; 0 if none
std::function<int()> reporting(std::function<void()> body) {
  return [body] {
    try {
      body();
      return 0;
    } catch (const Error& e) {
      std::fprintf(stderr, "%s\n", e.what());
      return int(e.fault);
    }
  };
}

TEST(Fault15, ADirectoryThatCannotBeWrittenFailsBeforeTheFirstStep) {
  const TemporaryDirectory d;
  std::filesystem::create_directories(d / "shut");
  chmod((d / "shut").c_str(), 0555);
  const Outcome o =
      run({.body = reporting([&] { open_run(d / "shut/run"); }), .unprivileged = true});
  EXPECT_EQ(o.exit_code, 6);
  EXPECT_THAT(o.err, HasSubstr(d / "shut/run"));
  EXPECT_THAT(o.err, HasSubstr("Permission denied"));
}

TEST(Fault15, APartThatCannotBeWrittenFailsToo) {
  const TemporaryDirectory d;
  { open_run(d / "run"); }
  for (const char* part : {"", "/.lock", "/samples", "/checkpoints"})
    chmod((d / "run").append(part).c_str(), 0777);
  chmod((d / "run/checkpoints").c_str(), 0555);
  const Outcome o = run({.body = reporting([&] { open_run(d / "run"); }), .unprivileged = true});
  EXPECT_EQ(o.exit_code, 6);
  EXPECT_THAT(o.err, HasSubstr("run/checkpoints: cannot be written to"));
}

TEST(Fault15, AFullDiskFailsBeforeTheFirstStep) {
  const TemporaryDirectory d;
  const SmallDisk disk(d / "disk", 16 << 10);
  if (!disk.mounted()) GTEST_SKIP() << "mounting is refused here";
  std::ofstream(d / "disk/ballast") << std::string(32 << 10, 'b') << std::flush;
  std::filesystem::create_directories(d / "disk/run");
  const Outcome o = run({.body = reporting([&] { open_run(d / "disk/run"); })});
  EXPECT_EQ(o.exit_code, 6);
  EXPECT_THAT(o.err, HasSubstr(d / "disk/run"));
}

TEST(Fault16, ADifferentRunIsNotMixedWithThisOne) {
  const TemporaryDirectory d;
  { open_run(d / "r", Existing::same, "seed = 1\nlr = 1\n"); }
  write_text(d / "r/metrics.jsonl", "{\"step\":1}\n");
  const auto refusal = [&](Existing existing, const char* config) -> std::string {
    try {
      open_run(d / "r", existing, config);
    } catch (const Error& e) {
      EXPECT_EQ(e.fault, Fault::usage);
      return e.what();
    }
    return "";
  };
  const std::string different = refusal(Existing::same, "seed = 1\nlr = 2\n");
  EXPECT_THAT(different, HasSubstr("a different run: it was seed = 1\nlr = 1"));
  EXPECT_THAT(different, HasSubstr("--resume auto"));
  EXPECT_THAT(different, HasSubstr("--overwrite"));
  EXPECT_THAT(refusal(Existing::refuse, "seed = 1\nlr = 1\n"), HasSubstr("already holds a run"));
  EXPECT_EQ(read_text(d / "r/metrics.jsonl"), "{\"step\":1}\n");  // untouched so far
  EXPECT_EQ(read_text(d / "r/config.resolved.toml"), "seed = 1\nlr = 1\n");
  EXPECT_EQ(refusal(Existing::same, "seed = 1\nlr = 1\n"), "");
  EXPECT_EQ(refusal(Existing::resume, "seed = 1\nlr = 2\n"), "");
  EXPECT_EQ(read_text(d / "r/metrics.jsonl"), "{\"step\":1}\n");
}

TEST(Fault20, ASecondProcessIsRefusedAndToldWhoIsThere) {
  const TemporaryDirectory d;
  const RunDirectory mine = open_run(d / "r");
  for (const Existing e : {Existing::same, Existing::resume, Existing::overwrite}) {
    const Outcome o = run({.body = reporting([&] { open_run(d / "r", e); })});
    EXPECT_EQ(o.exit_code, 2);
    EXPECT_THAT(o.err, HasSubstr("in use by process " + std::to_string(getpid()) + " on "));
  }
}

TEST(Fault20, TheLockOfADeadProcessIsTakenOver) {
  const TemporaryDirectory d;
  Process owner({.body = [&] {
    const RunDirectory run = open_run(d / "r");
    std::puts("locked"), std::fflush(stdout);
    for (;;) pause();
    return 0;
  }});
  ASSERT_TRUE(owner.wait_for("locked"));
  EXPECT_THROW(open_run(d / "r"), Error);
  owner.send(SIGKILL);
  EXPECT_EQ(owner.wait().signal, SIGKILL);
  EXPECT_THAT(read_text(d / "r/.lock"), HasSubstr("process " + std::to_string(owner.id())));
  EXPECT_NO_THROW(open_run(d / "r"));
}

}  // namespace
}  // namespace tern
