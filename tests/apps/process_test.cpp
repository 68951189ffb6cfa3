#include "tests/support/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using std::chrono::milliseconds;

TEST(Process, CapturesBothStreamsAndTheExitCode) {
  const Outcome o = run({.args = {"sh", "-c", "cat; echo $WORD >&2; exit 7"},
                         .env = {{"WORD", "there"}},
                         .input = "hello"});
  EXPECT_EQ(o.exit_code, 7);
  EXPECT_EQ(o.out, "hello");
  EXPECT_EQ(o.err, "there\n");
}

TEST(Process, LargeInputAndOutputDoNotDeadlock) {
  const std::string text(1 << 20, 'x');
  const Outcome o = run({.args = {"cat"}, .input = text});
  EXPECT_EQ(o.out.size(), text.size());
}

TEST(Process, SignalsAndTimeLimits) {
  Process p({.args = {"sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done"}});
  ASSERT_TRUE(p.wait_for("ready"));
  p.send(SIGTERM);
  EXPECT_EQ(p.wait().exit_code, 9);

  const Outcome late = run({.args = {"sh", "-c", "sleep 60; true"}}, milliseconds(50));
  EXPECT_TRUE(late.timed_out);
  EXPECT_EQ(late.signal, SIGKILL);
}

TEST(Process, DropsPrivilegesOfAFunction) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  const TemporaryDirectory d;
  const std::string file = d / "file";
  const Outcome o = run({.body = [&] { return open(file.c_str(), O_CREAT | O_WRONLY, 0600) < 0; },
                         .unprivileged = true});
  EXPECT_EQ(o.exit_code, 1);
}

TEST(Process, LimitsTheSizeOfFiles) {
  const TemporaryDirectory d;
  const Outcome o = run({.args = {"sh", "-c", "head -c 9999 /dev/zero > big"},
                         .directory = d.path(),
                         .limits = {{RLIMIT_FSIZE, 4096}}});
  EXPECT_NE(o.exit_code, 0);
  EXPECT_EQ(std::filesystem::file_size(d / "big"), 4096u);
}

TEST(Process, GivesATerminal) {
  const Outcome o = run({.args = {"sh", "-c", "stty size; test -t 1 && echo yes"}, .columns = 77});
  EXPECT_EQ(o.out, "40 77\r\nyes\r\n");
  EXPECT_EQ(run({.args = {"test", "-t", "1"}}).exit_code, 1);
}

TEST(Process, BrokenOutputAndClosedInput) {
  EXPECT_EQ(run({.args = {"cat", "/proc/self/exe"}, .broken_output = true}).signal, SIGPIPE);
  EXPECT_EQ(
      run({.body = [] { return fcntl(0, F_GETFD) < 0 ? 5 : 6; }, .closed_input = true}).exit_code,
      5);
}

TEST(SmallDisk, FillsUp) {
  const TemporaryDirectory d;
  const SmallDisk disk(d / "disk", 64 << 10);
  if (!disk.mounted()) GTEST_SKIP() << "mounting is refused here";
  const Outcome o =
      run({.args = {"sh", "-c", "head -c 99999 /dev/zero > disk/big"}, .directory = d.path()});
  EXPECT_NE(o.exit_code, 0);
  EXPECT_NE(o.err.find("No space left"), std::string::npos) << o.err;
}

}  // namespace
}  // namespace tern
