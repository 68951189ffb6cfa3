// Rows 111 and 120: damaged corpora, and paths that the system refuses, through the commands.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/apps/tiny_run.h"

namespace tern::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

Outcome tern(std::vector<std::string> args, bool unprivileged = false) {
  args.insert(args.begin(), sibling_program("tern"));
  return run({.args = args, .unprivileged = unprivileged});
}

TEST(Fault111, InspectAndTrainFindDamage) {
  const TinyRun tiny;
  const std::string data = tiny.room() / "data";
  fs::copy(tiny_corpus(), data);
  const std::string source = "data.source.0.path=" + data;
  const std::vector<std::string> verified = {source, "data.verify=true", "run.steps=1"};
  const Outcome good = tern({"inspect", "--verify", data});
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_THAT(good.out, HasSubstr("good: every byte matches its hash"));
  EXPECT_THAT(tern({"inspect", data, "--all"}).out, HasSubstr("train-00000.h5"));
  EXPECT_EQ(run(tiny.command("good", verified)).exit_code, 0);

  for (const char* name : {"train-00000.h5", "validation-00000.h5"}) {
    std::string content = read_text(fs::path(data) / name);
    content.back() ^= 1;  // an element: the last dataset ends the file
    write_text(fs::path(data) / name, content);
  }
  const Outcome bad = tern({"inspect", "--verify", data});
  EXPECT_EQ(bad.exit_code, 3);
  EXPECT_THAT(bad.out, HasSubstr("BAD: " + data + "/train-00000.h5: damaged"));
  EXPECT_THAT(bad.out, HasSubstr("BAD: " + data + "/validation-00000.h5: damaged"));
  EXPECT_THAT(bad.err, HasSubstr("2 problems, listed above"));
  const Outcome stopped = run(tiny.command("bad", verified));
  EXPECT_EQ(stopped.exit_code, 3);
  EXPECT_THAT(stopped.err, HasSubstr("train-00000.h5: damaged"));
  EXPECT_THAT(stopped.err, HasSubstr("and 1 more problem"));
  EXPECT_FALSE(fs::exists(tiny.directory("bad")));
  fs::remove(data + "/manifest.json");
  EXPECT_EQ(tern({"inspect", data}).exit_code, 3);
}

class Fault120 : public testing::Test {
 protected:
  // every command that reads this path, and what it says; codes 3 and 6 only, one line
  void expect_refused(const std::string& path, const std::string& reason) {
    const std::string model = tiny_corpus() / "tokenizer.model", out = room_ / "out",
                      trained = room_ / "open/m.model";
    SKIP_IN_A_FOLDER_CLOSED_TO_OTHERS();
    const std::vector<std::vector<std::string>> commands = {
        {"prepare", "--tokenizer", model, "--out", out, path},
        {"prepare", "--tokenizer", model, "--out", out, path + "/*.txt[x]"},
        {"prepare", "--tokenizer", path, "--out", out, room_ / "a.txt"},
        {"prepare", "--tokenizer", model, "--out", path + "/x", room_ / "a.txt"},
        {"tokenizer", "train", "--vocab-size", "300", "--out", trained, path},
        {"tokenizer", "train", "--vocab-size", "300", "--out", path + "/x", room_ / "a.txt"},
        {"inspect", path},
        {"inspect", "--verify", path},
        {"eval", "--checkpoint", path, "--data", tiny_corpus()},
        {"eval", "--checkpoint", room_ / "a.txt", "--data", path},
        {"generate", "--checkpoint", path},
        {"ngram", "--data", path},
        {"plot", path},
        {"report", "--out", out, path},
    };
    for (const auto& args : commands) {
      const Outcome o = tern(args, true);
      const std::string what = args[0] + " " + args.back();
      EXPECT_THAT(o.exit_code, testing::AnyOf(3, 6)) << what << ": " << o.err;
      EXPECT_THAT(o.err, HasSubstr(reason)) << what;
      EXPECT_THAT(o.err, HasSubstr(path.substr(0, 40))) << what;
      EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << what << ": " << o.err;
      EXPECT_THAT(o.err, testing::Not(HasSubstr("filesystem error"))) << what;
    }
  }
  Fault120() {
    write_text(room_ / "a.txt", "text");
    fs::create_directory(room_ / "open");
    fs::permissions(room_ / "open", fs::perms::all);
  }
  const TemporaryDirectory room_;
};

TEST_F(Fault120, DirectoriesThatCannotBeEntered) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to drop privileges";
  fs::create_directory(room_ / "shut");
  fs::create_directory(room_ / "shut/in");
  fs::permissions(room_ / "shut", fs::perms::owner_all);
  expect_refused(room_ / "shut/in", "Permission denied");
}

TEST_F(Fault120, LongNames) {
  expect_refused(room_ / std::string(300, 'n'), "File name too long");
}

TEST_F(Fault120, FilesInTheMiddleOfAPath) {
  const std::string path = room_ / "a.txt/b";
  EXPECT_EQ(tern({"inspect", path}).exit_code, 3);
  EXPECT_EQ(tern({"ngram", "--data", path}).exit_code, 3);
  EXPECT_EQ(tern({"prepare", "--tokenizer", path, "--out", room_ / "o", path}).exit_code, 3);
  EXPECT_EQ(tern({"prepare", "--tokenizer", tiny_corpus() / "tokenizer.model", "--out", path,
                  room_ / "a.txt"})
                .exit_code,
            6);
}

TEST_F(Fault120, LinksInACircle) {
  fs::create_symlink(room_ / "one", room_ / "two");
  fs::create_symlink(room_ / "two", room_ / "one");
  for (const char* command : {"inspect", "plot"})
    EXPECT_EQ(tern({command, room_ / "one"}).exit_code, 3) << command;
  EXPECT_EQ(tern({"ngram", "--data", room_ / "one"}).exit_code, 3);
  EXPECT_EQ(tern({"prepare", "--tokenizer", tiny_corpus() / "tokenizer.model", "--out",
                  room_ / "one", room_ / "a.txt"})
                .exit_code,
            6);
}

}  // namespace
}  // namespace tern::test
