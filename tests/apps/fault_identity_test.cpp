// What identifies a run and its data, and how a run starts; rows of docs/faults.md.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/corpus.h"
#include "tests/apps/rank_run.h"

namespace tern::test {
namespace {

using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

// The text of tiny_corpus(), prepared again from a file of another name into another folder.
fs::path prepared_again(const TinyRun& tiny) {
  const fs::path text = tiny.room() / "other name.txt", out = tiny.room() / "moved";
  write_text(text, read_text("configs/demo/tinyshakespeare.txt").substr(0, 60'000));
  expect_success({.args = {sibling_program("tern"), "prepare", "--tokenizer",
                           (tiny_corpus() / "tokenizer.model").string(), "--out", out.string(),
                           "--validation", "0.1", text.string()}});
  return out;
}

TEST(Fault101, DataThatHasMovedComesInTheSameOrder) {
  const TinyRun tiny;
  expect_success(tiny.command("whole", {"checkpoint.interval=30"}));
  fs::copy(tiny.directory("whole"), tiny.directory("moved-run"), fs::copy_options::recursive);
  fs::remove_all(tiny.checkpoint("moved-run", 60));
  const fs::path moved = prepared_again(tiny);
  expect_success(tiny.command(
      "moved-run",
      {"checkpoint.interval=30", "data.source.0.path=" + (tiny.room() / "./moved/").string()},
      kResume));
  EXPECT_EQ(losses(tiny.directory("whole")), losses(tiny.directory("moved-run")));
  EXPECT_EQ(tensors(tiny.checkpoint("whole", 60)), tensors(tiny.checkpoint("moved-run", 60)));
  EXPECT_EQ(Corpus::open(moved, Split::train).content_hash(),
            Corpus::open(tiny_corpus(), Split::train).content_hash());
  EXPECT_NE(Corpus::open(moved, Split::validation).content_hash(),
            Corpus::open(moved, Split::train).content_hash());
}

// As a release left them that ordered samples by the path of the data.
TEST(Fault101, ACheckpointOfTheOldOrderIsNotResumed) {
  const TinyRun tiny;
  expect_success(tiny.command("run", {"run.steps=20"}));
  const fs::path manifest = tiny.checkpoint("run", 20) / "manifest.json";
  Manifest m = parse_manifest(read_text(manifest), manifest.string());
  m.state["data_hashes"] = m.state["data_content"];
  m.state.erase("data_content");
  write_text(manifest, to_text(m));
  const Outcome resumed = run(tiny.command("run", {"run.steps=40"}, kResume));
  EXPECT_EQ(resumed.exit_code, 3);
  EXPECT_THAT(resumed.err, HasSubstr("ordered samples by the path"));
  expect_success(tiny.command("branch", {"run.steps=5", "init_from.moments=true",
                                         "init_from.path=" + tiny.checkpoint("run", 20).string()}));
}

// With a large second moment the bias correction differs by much between Adam's step 1 and 61.
void expect_branch_resumes(const TinyRun& tiny, const Strings& more, const Strings& arguments) {
  const Strings branch =
      Strings{"init_from.path=" + tiny.checkpoint("trunk", 60).string(), "init_from.moments=true",
              "optimizer.beta2=0.999", "optimizer.moments=bf16", "checkpoint.keep_last=3"} +
      more;
  expect_success(tiny.command("whole", branch, arguments));
  fs::copy(tiny.directory("whole"), tiny.directory("parts"), fs::copy_options::recursive);
  for (const int step : {40, 60}) fs::remove_all(tiny.checkpoint("parts", step));
  expect_success(tiny.command("parts", branch, arguments + kResume));
  EXPECT_EQ(losses(tiny.directory("whole")), losses(tiny.directory("parts")));
  EXPECT_EQ(tensors(tiny.checkpoint("whole", 60)), tensors(tiny.checkpoint("parts", 60)));
  const Checkpoint last = Checkpoint::open(tiny.checkpoint("parts", 60));
  EXPECT_EQ(last.manifest().state.at("adam_steps"), 120);
}

TEST(Fault302, ABranchWithMomentsResumesToTheSameBits) {
  const TinyRun tiny;
  expect_success(tiny.command("trunk"));
  expect_branch_resumes(tiny, {}, {});
}

TEST(Fault302, SoDoesOneOnSeveralRanks) {
  for (const Strings& more : {Strings{}, kOwners}) {
    const TinyRun tiny;
    expect_success(tiny.command("trunk"));
    expect_branch_resumes(tiny, more, kTwo);
  }
}

}  // namespace
}  // namespace tern::test
