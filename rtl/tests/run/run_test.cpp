// tern rtl run and its plugin: the core's text is that of the executor.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <numeric>

#include "apps/rtl/model_image.h"
#include "apps/run/open_model.h"
#include "core/plugin.h"
#include "rtl/model/simulation.h"
#include "rtl/tests/small_model.h"
#include "runtime/text_generator.h"
#include "tests/apps/tiny_run.h"
#include "tests/support/refusal.h"

namespace tern::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
namespace fs = std::filesystem;

rtl::SimulationPlugin& plugin() {
  const std::string file =
      fs::path(sibling_program("tern")).parent_path() / "../lib/libtern_rtl_sim.so";
  const Plugin opened = open_plugin(file.c_str(), "tern_rtl_plugin", RTLD_LOCAL);
  if (!opened.factory) throw std::runtime_error(opened.why);
  return *reinterpret_cast<rtl::SimulationPlugin* (*)()>(opened.factory)();
}

std::unique_ptr<rtl::SimulatedCore> open(rtl::Image& image, int latency = 1) {
  return plugin().open({.memory = image.memory(),
                        .program = image.program(),
                        .lengths = image.header().lengths,
                        .port_bits = int(image.header().sizes.port_bits),
                        .latency = latency});
}

// A model of odd sizes and a tokenizer, as images.
class RtlRun : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    tiny_ = new TinyRun;
    const Outcome outcome = ::tern::run(
        tiny_->command("r", {"run.steps=3", "model.hidden_size=21", "model.intermediate_size=40"}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    for (const int width : plugin().widths())
      export_image(open_model(tiny_->directory("r").string()), image(width), std::uint32_t(width));
  }
  static void TearDownTestSuite() { delete tiny_; }

  static std::string image(int width) { return tiny_->room() / (std::to_string(width) + ".img"); }
  static std::string any_image() { return image(plugin().widths().back()); }

  static Command command(const std::string& path, const std::vector<std::string>& options,
                         const std::string& input = {}) {
    std::vector<std::string> args = {sibling_program("tern"), "rtl", "run", path};
    args.insert(args.end(), options.begin(), options.end());
    return {.args = args, .input = input};
  }
  static std::string output(const std::string& path, const std::vector<std::string>& options,
                            const std::string& input = {}) {
    const Outcome outcome = ::tern::run(command(path, options, input));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    return outcome.out;
  }

  static TinyRun* tiny_;
  TemporaryDirectory room_;
};
TinyRun* RtlRun::tiny_ = nullptr;
using Fault325Simulation = RtlRun;

// The likeliest tokens behind a prompt, by the executor.
std::string text_of_executor(const std::string& path, const std::string& prompt, int tokens) {
  ModelImage model = open_image(path);
  rtl::Executor executor = model.image.executor();
  const auto ids = prompt_ids(*model.tokenizer, model.documents, prompt);
  for (const std::int32_t id : ids) executor.run(std::uint32_t(id));
  Decoder decoder(*model.tokenizer, prompt.empty());
  std::string text;
  for (int n = 0; n < tokens; ++n) {
    const std::int32_t id = executor.likeliest();
    if (id == model.tokenizer->eos_id()) break;
    text += decoder.push(id);
    executor.run(std::uint32_t(id));
  }
  return text + decoder.finish();
}

TEST_F(RtlRun, TheTextIsTheExecutors) {
  for (const int width : plugin().widths()) {
    const std::string path = image(width);
    const std::string follows = text_of_executor(path, "ROMEO:", 30);
    EXPECT_GT(follows.size(), 10u);
    EXPECT_THAT(output(path, {"--prompt", "ROMEO:", "-n", "30"}),
                StartsWith("ROMEO:" + follows + "\n\ncore "));
    EXPECT_THAT(output(path, {"-n", "30"}, "ROMEO:"), StartsWith(follows + "\n\ncore "));
    EXPECT_THAT(output(path, {"-n", "9"}), StartsWith(text_of_executor(path, "", 9) + "\n\ncore "));
  }
}

std::int64_t cycles_of(const std::string& report) {
  return std::stol(report.substr(report.find("\ncycles ") + 8));
}

TEST_F(RtlRun, TheReportHasTheClockAndWhatCyclesWere) {
  const std::string at_60 = output(any_image(), {"--prompt", "a", "-n", "2"});
  for (const char* part :
       {" tokens/s at 60 MHz\n", "memory latency 1 cycle\n", "MB/s of the port's ", "\nunit, busy ",
        "\nproduct ", "\nissue ", "\nwaits for a queue ", "\narray of products "})
    EXPECT_THAT(at_60, HasSubstr(part));
  const std::string at_250 =
      output(any_image(), {"--prompt", "a", "-n", "2", "--clock", "250", "--latency", "40"});
  EXPECT_THAT(at_250, HasSubstr(" tokens/s at 250 MHz\n"));
  EXPECT_THAT(at_250, HasSubstr("memory latency 40 cycles\n"));
  EXPECT_GT(cycles_of(at_250), cycles_of(at_60));
}

TEST_F(RtlRun, AWaveformIsWritten) {
  const std::string path = room_ / "w.fst";
  const std::string report = output(any_image(), {"--prompt", "a", "-n", "2", "--trace", path});
  // a block of type 0, the header: its length of 329 bytes, the first time and the last one
  const std::string begin = read_text(path).substr(0, 25);
  EXPECT_THAT(begin, StartsWith(std::string("\0\0\0\0\0\0\0\1\x49\0\0\0\0\0\0\0\0", 17)));
  std::int64_t last = 0;
  for (const char c : begin.substr(17)) last = last << 8 | std::uint8_t(c);
  EXPECT_GT(last, 2 * std::min(cycles_of(report), rtl::kWaveformCycles - 1)) << "two a cycle";
  EXPECT_LT(last, 2 * rtl::kWaveformCycles);
  expect_refused(::tern::run(command(any_image(), {"--prompt", "a", "--trace", room_ / "none/w"})),
                 6, "none/w: cannot be written");
}

TEST_F(Fault325Simulation, AWidthThatIsNotBuiltIsRefused) {
  const std::vector<int> built = plugin().widths();
  for (const int width : {8, 64, 128, 256, 512}) {
    if (std::ranges::find(built, width) != built.end()) continue;
    const std::string path = room_ / "other.img";
    export_image(open_model(tiny_->directory("r").string()), path, std::uint32_t(width));
    expect_refused(::tern::run(command(path, {"--prompt", "a"})), 3,
                   "build with -DTERN_RTL_WIDTHS=" + std::to_string(width));
    return;
  }
  GTEST_SKIP() << "this build has all widths";
}

TEST_F(RtlRun, AClosedPipeEndsItQuietlyAndAFullDiskIsSaid) {
  Command closed = command(any_image(), {"--prompt", "a"});
  closed.broken_output = true;
  const Outcome outcome = ::tern::run(closed);
  EXPECT_EQ(outcome.signal, SIGPIPE);
  EXPECT_EQ(outcome.err, "");
  Command full = command(any_image(), {"--prompt", "a", "-n", "1"});
  full.args.insert(full.args.begin(), {"sh", "-c", "exec \"$@\" > /dev/full", "sh"});
  expect_refused(::tern::run(full), 6, "standard output: cannot write");
}

TEST_F(RtlRun, CountersAndTrafficAddUp) {
  for (const int width : plugin().widths()) {
    ModelImage model = open_image(image(width));
    const auto core = open(model.image);
    core->run(1);
    const rtl::SimulatedToken token = core->run(2);
    const auto states = std::span(token.counters).subspan(rtl::kUnits, rtl::kIssueStates);
    EXPECT_EQ(std::accumulate(states.begin(), states.end(), std::int64_t(0)), token.cycles);
    for (const std::int64_t count : token.counters) EXPECT_LE(count, token.cycles);
    const rtl::ImageHeader& h = model.image.header();
    const auto tiles = std::int64_t(model.image.layout().table - model.image.layout().head_tiles);
    EXPECT_GT(token.read_bytes, tiles);
    EXPECT_LT(token.read_bytes, std::int64_t(h.table)) << "a word read twice";
    EXPECT_GE(token.written_bytes, std::int64_t(4 * (h.sizes.layers * 21 + h.sizes.vocabulary)));
    EXPECT_LE(token.read_bytes + token.written_bytes, 2 * token.cycles * width / 8);
  }
}

// A program of another model, in a memory that is too small for it.
TEST_F(Fault325Simulation, AnAddressOutsideOfTheMemoryIsRefused) {
  ModelImage model = open_image(any_image());
  rtl::Image& image = model.image;
  const auto core = plugin().open({.memory = image.memory().first(image.header().head),
                                   .program = image.program(),
                                   .lengths = image.header().lengths,
                                   .port_bits = int(image.header().sizes.port_bits)});
  try {
    core->run(1);
    FAIL() << "expected an Error";
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::input);
    EXPECT_THAT(e.what(), HasSubstr("program: expected addresses up to"));
  }
}

// The demonstration's sizes (configs/demo.toml), random weights: each token is the likeliest behind
// the one before.
TEST(RtlSimulation, AStreamOf512TokensIsTheExecutors) {
  rtl::SmallModel loaded(rtl::small_config(256, 768, 6, 1024), DType::f32);
  const int width = plugin().widths().back();
  const DecodeModel decode = loaded.decode();
  rtl::Image image = rtl::Image::of(decode, std::uint32_t(width)), same = image;
  rtl::Executor executor = same.executor();
  const auto core = open(image);
  std::int32_t token = 1;
  for (int t = 0; t < 512; ++t) {
    executor.run(std::uint32_t(token));
    const rtl::SimulatedToken out = core->run(std::uint32_t(token));
    ASSERT_EQ(out.likeliest, executor.likeliest()) << "token " << t;
    token = out.likeliest;
  }
  EXPECT_TRUE(std::ranges::equal(image.bytes(), same.bytes())) << "states and sums";
}

}  // namespace
}  // namespace tern::test
