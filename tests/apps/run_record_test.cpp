#include "apps/run/run_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "apps/plot/plot.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(RunRecord, SaysEverythingEverywhere) {
  const TemporaryDirectory d;
  const auto body = [&] {
    const RunDirectory directory(d / "r", Existing::refuse, {});
    Console console(STDERR_FILENO, directory.log());
    RunRecord record(directory, console, false, sibling_program("tern"));
    for (int i = 1; i <= 20; ++i)
      record.step({.step = i, .steps = 20, .tokens = 64 * i, .loss = 5, .gradient_norm = 1},
                  i % 5 == 0);
    record.add(ValidationReport{.step = 20, .tokens = 1280, .loss = 5});
    record.add(SampleReport{.step = 20, .prompt = "A", .text = "B"});
    record.add(CheckpointReport{.step = 20, .path = "checkpoints/step-00000020"});
    record.add(EventReport{.step = 20, .kind = "finish", .text = "done"});
    record.add(DiagnosticsReport{.step = 20, .layers = {{.name = "a"}}});
    record.finish(RunSummary{.outcome = "finished"});
    return 0;
  };
  const Outcome o = run({.body = body});
  EXPECT_EQ(o.exit_code, 0);
  EXPECT_THAT(o.err, Not(HasSubstr("warning")));
  for (const char* text : {"step  5/20", "step 20/20", "val   step 20", "finish at step 20"}) {
    EXPECT_THAT(o.err, HasSubstr(text));
    EXPECT_THAT(read_text(d / "r/train.log"), HasSubstr(text));
  }
  EXPECT_EQ(read_losses(d / "r").train.size(), 4u);
  for (const char* type : {"val", "sample", "ckpt", "event", "diagnostics"})
    EXPECT_THAT(read_text(d / "r/metrics.jsonl"), HasSubstr(std::string(",\"t\":\"") + type));
  EXPECT_EQ(read_text(d / "r/samples/step-00000020.txt"), "AB\n");
  EXPECT_TRUE(std::filesystem::exists(d / "r/loss.png"));
}

}  // namespace
}  // namespace tern
