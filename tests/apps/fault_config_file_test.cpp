// Row 50 of the fault list: a configuration that cannot be read, and what the command says of one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "apps/commands/command_line.h"
#include "tests/apps/config_complaint.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

TEST(Fault50, FilesThatCannotBeReadAreOneLine) {
  const TemporaryDirectory scratch;
  EXPECT_EQ(complaint_of_file(scratch / "none.toml"),
            (scratch / "none.toml") + ": cannot open: No such file or directory");
  EXPECT_THAT(complaint_of_file(scratch.path()), HasSubstr("expected a regular file"));
  ASSERT_EQ(mkfifo((scratch / "pipe.toml").c_str(), 0600), 0);
  EXPECT_THAT(complaint_of_file(scratch / "pipe.toml"), HasSubstr("expected a regular file"));
  std::filesystem::create_symlink(scratch / "loop.toml", scratch / "loop.toml");
  EXPECT_EQ(line_count(complaint_of_file(scratch / "loop.toml")), 1u);
}

TEST(Fault50, TheCommandFailsAlike) {
  const TemporaryDirectory scratch;
  std::ofstream(scratch / "a.toml") << kValid << "lrr = 1\n";
  CLI::App app;
  add_config(app);
  try {
    app.parse("config show " + (scratch / "a.toml"));
    FAIL() << "expected an error";
  } catch (const Error& e) {
    EXPECT_EQ(int(e.fault), 2);
    EXPECT_THAT(e.what(), EndsWith("a.toml:10:1: optimizer.lrr: unknown key (did you mean "
                                   "optimizer.lr?)"));
  }
}

}  // namespace
}  // namespace tern
