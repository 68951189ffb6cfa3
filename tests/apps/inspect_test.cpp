#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/checkpoint/writer.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// A run with the checkpoints 10 and 20.
class Inspect : public testing::Test {
 protected:
  Inspect() {
    const std::vector<float> values(2000, 0.5f);
    std::vector<TensorBytes> tensors;
    for (int i = 0; i < 20; ++i)
      tensors.push_back({"layer" + std::to_string(i),
                         StoredType::f32,
                         {20, 100},
                         std::as_bytes(std::span(values))});
    std::filesystem::create_directory(directory_.path() / "checkpoints");
    for (const std::uint64_t step : {10, 20})
      write_checkpoint({.directory = directory_.path() / "checkpoints", .version = "0.1.0"},
                       {.step = step, .tokens = 4096, .parameters = 40000, .state = {{"seed", 7}}},
                       tensors);
  }

  Outcome inspect(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {sibling_program("tern"), "inspect"});
    return run({.args = arguments});
  }

  void damage() const {
    const std::string path = newer() + "/rank-000-part-00.h5";
    std::string content = read_text(path);
    content[content.size() - 1] ^= 1;
    write_text(path, content);
  }

  std::string newer() const { return directory_.path() / "checkpoints/step-00000020"; }

  const TemporaryDirectory directory_;
};

TEST_F(Inspect, ShowsACheckpoint) {
  const Outcome o = inspect({newer(), "--verify"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, AllOf(HasSubstr("step        20"), HasSubstr("\"seed\": 7"),
                           HasSubstr("layer0 "), HasSubstr("(20, 100)"), HasSubstr("good:"),
                           HasSubstr("and 8 more: --all"), Not(HasSubstr("layer19"))));
  EXPECT_THAT(inspect({newer(), "--all"}).out, HasSubstr("layer19"));
}

TEST_F(Inspect, ListsARunAndNamesWhatIsBad) {
  EXPECT_EQ(inspect({directory_.path(), "--verify"}).exit_code, 0);
  damage();
  const Outcome o = inspect({directory_.path(), "--verify"});
  EXPECT_EQ(o.exit_code, 3);
  EXPECT_THAT(o.out, AllOf(HasSubstr("step-00000010  good"), HasSubstr("step-00000020  BAD")));
  EXPECT_THAT(o.err, HasSubstr("1 of 2 checkpoints are bad"));
}

TEST_F(Inspect, ABadCheckpointIsExitCodeThree) {
  damage();
  const Outcome o = inspect({newer(), "--verify"});
  EXPECT_EQ(o.exit_code, 3);
  EXPECT_THAT(o.out, HasSubstr("tensor layer19 is damaged"));
  std::filesystem::resize_file(newer() + "/rank-000-part-00.h5", 100);
  EXPECT_EQ(inspect({newer()}).exit_code, 3);
  EXPECT_EQ(inspect({directory_ / "nothing"}).exit_code, 3);
}

}  // namespace
}  // namespace tern
