// Memory of real machines: what is planned is what is taken, and what does not fit is said before
// a run starts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/config/load.h"
#include "apps/golden/golden.h"
#include "apps/plan/plan.h"
#include "core/bfloat16.h"
#include "core/cpu/cpu_backend.h"
#include "data/checkpoint/writer.h"
#include "layers/model_config.h"
#include "runtime/checkpoints.h"
#include "runtime/memory_plan.h"
#include "tests/apps/tiny_run.h"
#include "tests/support/complaint.h"

namespace tern::test {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::vector<std::string> kMegabytes = {"model.hidden_size=512",
                                             "model.num_hidden_layers=1",
                                             "model.intermediate_size=1024",
                                             "batch.micro_batch=4",
                                             "run.steps=2",
                                             "logging.validation_interval=0"};

// A limit on resident memory, which Linux does not enforce but tern reads: the run fits, and `more`
// bytes.
rlim_t limit_for(const MemoryPlan& plan, std::size_t more) {
  constexpr rlim_t kProcess = 30'000'000, kReserve = 64 << 20;
  return kProcess + kReserve + plan.peak + more;
}

TEST(Fault305, WithoutMemoryForACopyTheSameCheckpointIsStreamed) {
  const TinyRun tiny;
  const MemoryPlan plan =
      plan_memory(load_config(tiny.config(), kMegabytes).config, 4, DeviceTraits{});
  ASSERT_GT(plan.snapshot, 20'000'000u);
  Command whole = tiny.command("whole", kMegabytes),
          streamed = tiny.command("streamed", kMegabytes);
  streamed.limits = {{RLIMIT_RSS, limit_for(plan, plan.snapshot / 3)}};
  const Outcome a = run(whole), b = run(streamed);
  ASSERT_EQ(a.exit_code, 0) << a.err;
  ASSERT_EQ(b.exit_code, 0) << b.err;
  EXPECT_THAT(a.out, HasSubstr("in host memory; written while training goes on"));
  EXPECT_THAT(b.out, HasSubstr("written in blocks of 4.19 MB, training waits"));
  EXPECT_THAT(a.out, Not(HasSubstr(", streamed)")));
  EXPECT_THAT(b.out, HasSubstr(", streamed)"));
  EXPECT_THAT(read_text(tiny.directory("streamed") / "metrics.jsonl"),
              HasSubstr("\"streamed\":true"));
  EXPECT_EQ(tensors(tiny.checkpoint("streamed", 2)), tensors(tiny.checkpoint("whole", 2)));

  Command planning = streamed;
  planning.args = {sibling_program("tern"), "plan", tiny.config()};
  for (const std::string& o : kMegabytes) planning.args.insert(planning.args.end(), {"--set", o});
  EXPECT_THAT(run(planning).out, HasSubstr("written in blocks of 4.19 MB, training waits"));
  planning.limits.clear();
  EXPECT_THAT(run(planning).out, HasSubstr("in host memory; written while training goes on"));
}

TEST(Fault305, TheCopyIsPlannedToTheByte) {
  const TinyRun tiny;
  for (const char* moments : {"f32", "bf16"}) {
    const RunConfig config =
        load_config(tiny.config(), {std::string("optimizer.moments=") + moments}).config;
    const MemoryPlan plan = plan_memory(config, 4, DeviceTraits{});
    CpuBackend backend(plan.peak);
    Trainer trainer(backend, config, 4);
    EXPECT_EQ(plan.snapshot, snapshot_bytes(checkpoint_tensors(trainer, "tokenizer")));
    EXPECT_EQ(std::int64_t(plan.snapshot), make_plan(config, {1}).checkpoint_bytes);
  }
}

TEST(Fault305, EachRankCopiesWhatItSaves) {
  const TinyRun tiny;
  const auto copy = [&](std::vector<std::string> overrides, Shard shard) {
    return plan_memory(load_config(tiny.config(), overrides).config, 2, {}, shard).snapshot;
  };
  const std::size_t all = copy({}, {});
  EXPECT_EQ(copy({}, {0, 2}), all);
  EXPECT_EQ(copy({}, {1, 2}), 0u);
  const std::string owners = "parallel.zero=1";
  EXPECT_EQ(copy({owners}, {0, 2}) + copy({owners}, {1, 2}), all);
}

TEST(Fault106, MicroBatchesAreChosenWithinLimitsAndWithTheCopy) {
  const TinyRun tiny;
  std::vector<std::string> overrides = {"batch.tokens=65536", "batch.context=1024",
                                        "model.hidden_size=64", "logging.validation_tokens=1024"};
  const RunConfig config = load_config(tiny.config(), overrides).config;
  const MemoryPlan wanted = plan_memory(config, 16, DeviceTraits{});
  Command command{.args = {sibling_program("tern"), "plan", tiny.config()},
                  .env = {{"OMP_NUM_THREADS", "1"}}};
  for (const std::string& o : overrides) command.args.insert(command.args.end(), {"--set", o});
  EXPECT_THAT(run(command).out, HasSubstr("memory, 64 sequences at once"));
  command.limits = {{RLIMIT_RSS, limit_for(wanted, wanted.snapshot)}};
  EXPECT_THAT(run(command).out, HasSubstr("memory, 16 sequences at once"));
}

RunConfig large(int sequences) {
  RunConfig config;
  config.model = named_model("2.7b");
  config.batch = {.tokens = sequences * 2048, .context = 2048, .micro_batch = 0};
  return config;
}

TEST(Fault318, APrimeNumberOfSequencesIsCutIntoEvenParts) {
  const Device h200 = Device::recorded_h200();
  const MemoryPlan plan = choose_memory_plan(large(97), h200);
  EXPECT_LE(plan.peak, h200.available_memory());
  const Index parts = (97 + plan.micro_batch - 1) / plan.micro_batch;
  EXPECT_GT(plan.micro_batch, 4);
  EXPECT_EQ(plan.micro_batch, (97 + parts - 1) / parts);
  EXPECT_GT(plan_memory(large(97), (97 + parts - 2) / (parts - 1), h200.facts().traits).peak,
            h200.available_memory());
  // a divisor is taken where there is a good one
  EXPECT_EQ(96 % choose_memory_plan(large(96), h200).micro_batch, 0);
}

TEST(Fault318, FillWritesHalfPrecision) {
  CpuBackend backend(1 << 20);
  const Tensor t(backend, {100}, DType::bf16);
  backend.fill(t, -2.5);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(to_real(t.data<BFloat16>()[i]), -2.5f);
}

std::string complaint_of_plan(std::int64_t width, std::int64_t glu, bool fp8 = false,
                              const DeviceTraits& device = DeviceTraits::h200(),
                              const char* type = "matmulfree") {
  RunConfig config;
  config.model = {
      .type = type, .vocab_size = 320, .width = width, .layers = 1, .explicit_glu_width = glu};
  config.batch = {.tokens = 128, .context = 128, .micro_batch = 1};
  if (fp8) config.backward = Backward::fp8_dx;
  return complaint([&] { plan_memory(config, 1, device); });
}

TEST(Fault315, SizesThatAGpuDoesNotTakeAreRefusedInThePlan) {
  EXPECT_EQ(complaint_of_plan(32'768, 32'768), "");
  EXPECT_THAT(complaint_of_plan(32'772, 1024), HasSubstr("model.hidden_size: expected rows of at "
                                                         "most 32768 elements on a GPU"));
  EXPECT_THAT(complaint_of_plan(8'194, 1024), HasSubstr("or 8192 where they are no multiple of 4"));
  EXPECT_THAT(complaint_of_plan(1024, 40'000), HasSubstr("model.intermediate_size: expected rows"));
  EXPECT_EQ(complaint_of_plan(1024, 20'000), "");
  EXPECT_THAT(complaint_of_plan(1024, 20'000, true),
              HasSubstr("got 40000 with precision.backward"));
  EXPECT_EQ(complaint_of_plan(1024, 20'000, true, DeviceTraits::h200(), "transformer"), "")
      << "gate and candidate are two products there";
  EXPECT_EQ(complaint_of_plan(40'000, 40'000, false, DeviceTraits{}), "");  // CPUs take any
}

TEST(Fault315, SumsThatAreNotExactAreRefusedInTheConfiguration) {
  const TinyRun tiny;
  const auto load = [&](const std::string& quantize) {
    return complaint([&] {
      load_config(tiny.config(), {"model.intermediate_size=200000", "model.quantize=" + quantize});
    });
  };
  EXPECT_THAT(load("ternary"), HasSubstr("model.intermediate_size: expected at most 132104"));
  EXPECT_EQ(load("none"), "");
}

TEST(Fault315, SlowSizesAreNamed) {
  const DeviceTraits gpu = DeviceTraits::h200();
  EXPECT_EQ(slow_sizes({.width = 1024, .explicit_glu_width = 2816}, gpu), "");
  EXPECT_THAT(slow_sizes({.width = 1000, .explicit_glu_width = 2816}, gpu),
              HasSubstr("model.hidden_size = 1000: no multiple of 16"));
  EXPECT_THAT(slow_sizes({.width = 1000, .explicit_glu_width = 2820}, gpu),
              HasSubstr("model.hidden_size = 1000, model.intermediate_size = 2820: no multiple"));
  EXPECT_EQ(slow_sizes({.width = 1000, .explicit_glu_width = 2820}, {}), "");
}

TEST(Fault213, APlanPrintsSizesBeforeWhatDoesNotFit) {
  const TinyRun tiny;
  std::vector<std::string> args = {sibling_program("tern"),
                                   "plan",
                                   tiny.config(),
                                   "--set",
                                   "model.hidden_size=16384",
                                   "--set",
                                   "model.num_hidden_layers=100"};
  const Outcome refused = run({.args = args});
  EXPECT_EQ(refused.exit_code, 5);
  EXPECT_THAT(refused.out, HasSubstr("one checkpoint"));
  EXPECT_THAT(refused.err, HasSubstr("no micro_batch fits: use a smaller model"));
  args.push_back("--without-data");
  const Outcome planned = run({.args = args});
  EXPECT_EQ(planned.exit_code, 0) << planned.err;
  EXPECT_THAT(planned.out, HasSubstr("too large for this machine, planned for another: "));
  EXPECT_THAT(planned.out, HasSubstr("memory, 1 sequences at once"));
  for (const char* largest : {"model.hidden_size=65536", "model.num_hidden_layers=1024"})
    args.insert(args.end(), {"--set", largest});
  const Outcome absurd = run({.args = args});
  EXPECT_EQ(absurd.exit_code, 5);
  EXPECT_THAT(absurd.err, HasSubstr("expected at most 4398046511104 parameters"));
}

TEST(Fault213, APlanWithoutDataChoosesMicroBatchesTooAndIsNamedWhereDataIsMissing) {
  const TinyRun tiny;
  std::vector<std::string> args = {sibling_program("tern"), "plan", tiny.config(), "--set",
                                   "data.source.0.path=missing"};
  const Outcome missing = run({.args = args});
  EXPECT_EQ(missing.exit_code, 3);
  EXPECT_THAT(missing.err, HasSubstr("; --without-data plans without it"));
  args.push_back("--without-data");
  EXPECT_THAT(run({.args = args}).out, HasSubstr("memory, 4 sequences at once"));
}

// A golden file with a piece of its header replaced by one of the same length.
std::string complaint_of_golden(const std::string& from, const std::string& to) {
  const TemporaryDirectory room;
  std::string bytes = read_text("tests/golden/tiny_model.safetensors");
  bytes.replace(bytes.find(from), from.size(), to);
  write_text(room / "changed.safetensors", bytes);
  return complaint([&] { check_golden(room / "changed.safetensors", DType::f64); });
}

TEST(Fault317, AGoldenFileWithUnknownKeysIsRefused) {
  EXPECT_THAT(complaint_of_golden("hidden_ratio", "rotary_theta"),
              HasSubstr("metadata 'config': \"rotary_theta\": not known"));
  EXPECT_THAT(complaint_of_golden("\\\"clip\\\": 1.0", "\\\"clop\\\": 1.0"),
              HasSubstr("metadata 'train': the key 'clop' is not known"));
  EXPECT_THAT(complaint_of_golden("\\\"num_heads\\\": 1", "\\\"num_heads\\\": 2"),
              HasSubstr("num_heads: expected 1, got 2"));
  EXPECT_THAT(complaint_of_golden("not embeddings", "and embeddings"),
              HasSubstr("decay: expected"));
}

}  // namespace
}  // namespace tern::test
