// tern rtl run where the simulation is not reached: no plugin, bad options, damaged images. With
// the plugin: rtl/tests/run.
#include <gtest/gtest.h>

#include "apps/rtl/model_image.h"
#include "apps/run/open_model.h"
#include "tests/apps/tiny_run.h"
#include "tests/support/refusal.h"

namespace tern::test {
namespace {

namespace fs = std::filesystem;

class RtlRun : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    tiny_ = new TinyRun;
    ASSERT_EQ(run(tiny_->command("a", {"run.steps=1"})).exit_code, 0);
  }
  static void TearDownTestSuite() { delete tiny_; }
  static SavedModel model() { return open_model(tiny_->directory("a").string()); }

  static void expect_refused(std::vector<std::string> args, int code, const std::string& what,
                             const std::string& tern = sibling_program("tern")) {
    args.insert(args.begin(), {tern, "rtl", "run"});
    tern::expect_refused(run({.args = args}), code, what);
  }

  static TinyRun* tiny_;
  TemporaryDirectory room_;
  const std::string image_ = room_ / "m.img";
};
TinyRun* RtlRun::tiny_ = nullptr;
using Fault325Run = RtlRun;

TEST_F(RtlRun, WithoutThePluginOneLineSaysWhatIsMissing) {
  export_image(model(), image_, 512);
  const fs::path tern = sibling_program("tern");
  const fs::path bin = room_.path() / "bin", lib = room_.path() / "lib";
  fs::create_directory(bin), fs::create_directory(lib);
  fs::copy_file(tern, bin / "tern");
  for (const auto& entry : fs::directory_iterator(tern.parent_path().parent_path() / "lib")) {
    const fs::path path = entry.path();  // libraries, no plugins
    if (path.filename().string().find(".so.") != std::string::npos)
      fs::create_symlink(fs::canonical(path), lib / path.filename());
  }
  expect_refused({image_, "--prompt", "a"}, 2, "libtern_rtl_sim.so: cannot open shared object file",
                 bin / "tern");
  expect_refused({image_, "--prompt", "a"}, 2, "-DTERN_RTL=ON", bin / "tern");
}

TEST_F(Fault325Run, ADamagedImageIsRefused) {
  export_image(model(), image_, 8);
  std::string bytes = read_text(image_);
  bytes[bytes.size() / 2] ^= 4;
  write_text(image_, bytes);
  expect_refused({image_, "--prompt", "a"}, 3, "m.img: expected the hash ");
  write_text(image_, bytes.substr(0, 100));
  expect_refused({image_, "--prompt", "a"}, 3, "got 100");
  expect_refused({room_ / "none", "--prompt", "a"}, 3, "none: cannot open");
}

TEST_F(RtlRun, OptionsThatDoNotFitAreRefused) {
  export_image(model(), image_, 64);
  expect_refused({image_, "-n", "0"}, 2, "-n: expected a number > 0, got 0");
  expect_refused({image_, "--clock", "0"}, 2, "--clock: expected a number > 0, got 0");
  expect_refused({image_, "--latency", "0"}, 2, "--latency: expected 1 to ");
  expect_refused({image_, "--trace", image_}, 2, "--trace: expected a new file, but ");
  expect_refused({image_, "--prompt", "a", "--prompt-file", "b"}, 2, "got both");
  expect_refused({"--prompt", "a"}, 2, "IMAGE is missing");
}

TEST_F(RtlRun, AnImageWithoutATokenizerIsRefused) {
  SavedModel saved = model();
  saved.tokenizer.reset();
  export_image(saved, image_, 512);
  expect_refused({image_, "--prompt", "a"}, 2, "m.img: this image has no tokenizer");
}

}  // namespace
}  // namespace tern::test
