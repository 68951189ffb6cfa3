// tern plan CONFIG.toml: the needs of a run, and all checks that come before its first step.
#include "apps/plan/plan.h"

#include <fmt/format.h>

#include "apps/commands/command_line.h"
#include "apps/config/load.h"
#include "apps/train/course.h"
#include "layers/model_config.h"
#include "runtime/memory_plan.h"
#include "runtime/quantities.h"
#include "runtime/training_data.h"

namespace tern {
namespace {

struct PlanOptions {
  std::string config;
  std::vector<std::string> overrides;
  std::string device = "cpu";
  int ranks = 1;
  bool without_data = false;
};

// A GPU is planned for where there is none, too: as an H200.
Device device_to_plan(const std::string& name) {
  try {
    return Device(name);
  } catch (const Error& error) {
    if (name != "cuda") throw;
    fmt::print(stderr, "no GPU here ({}); planning for an H200\n", error.what());
    return Device::recorded_h200();
  }
}

// As the run will choose it; a plan without data need not fit into this machine.
MemoryPlan plan_of_first(const RunConfig& config, const Device& device, int ranks,
                         bool without_data) {
  try {
    return choose_memory_plan(config, device, {0, ranks}, ranks);
  } catch (const Error& error) {
    if (!without_data || error.fault != Fault::memory) throw;
    fmt::print("too large for this machine, planned for another: {}\n", error.what());
    const Index micro_batch = std::max<Index>(1, config.batch.micro_batch);
    return plan_memory(config, micro_batch, device.facts().traits, {0, ranks});
  }
}

// Of several ranks: that of rank 0, and that of the one that needs the most.
std::string memory_of_ranks(const RunConfig& config, const Device& device, int ranks,
                            bool without_data) {
  const DeviceTraits& traits = device.facts().traits;
  const MemoryPlan first = plan_of_first(config, device, ranks, without_data);
  if (ranks == 1) return memory_text(first);
  const int largest = largest_rank(config, first.micro_batch, traits, ranks);
  std::string text = "rank 0: " + memory_text(first);
  if (largest > 0) {
    MemoryPlan most = plan_memory(config, first.micro_batch, traits, {largest, ranks});
    plan_snapshot(most, config, device, ranks);
    text += fmt::format("rank {}, which needs the most: {}", largest, memory_text(most));
  }
  return text;
}

std::unique_ptr<TrainingData> open_data(const RunConfig& config) {
  try {
    return std::make_unique<TrainingData>(config);
  } catch (const Error& error) {
    if (error.fault != Fault::input) throw;
    fail(error.fault, error.what(), "; --without-data plans without it");
  }
}

void print_exchange(const RunConfig& config, int ranks) {
  const ExchangePlan e = plan_exchange(config, ranks);
  fmt::print(
      "\nexchange of {} GPUs a step, a model (docs/scaling_out.md)\n"
      "  gradients               {:>20}\n"
      "  adding them up          {:>17.1f} ms  nodes of 8 on NVLink, 400 Gb/s a GPU between\n",
      ranks, bytes_text(e.gradient_bytes), e.reduce * 1e3);
  if (config.parallel.zero == 1)
    fmt::print(
        "  copies                  {:>20}\n"
        "  gathering them          {:>17.1f} ms  after the update: never hidden\n",
        bytes_text(e.copy_bytes), e.gather * 1e3);
  fmt::print(
      "  computing               {:>17.1f} ms  at 60 % of 989 TFLOP/s\n"
      "  efficiency              {:>18.0f} %  nothing hidden; {:.0f} % with all that backward can "
      "hide\n",
      e.compute * 1e3, 100 * e.nothing_hidden, 100 * e.backward_hidden);
}

// Without data the tokenizer is known only where data.tokenizer names it.
void assume_vocabulary(LoadedConfig& loaded) {
  const std::string& tokenizer = loaded.config.data.tokenizer;
  std::error_code error;
  if (loaded.config.model.vocab_size == 0 && std::filesystem::exists(tokenizer, error))
    return set_vocab_size(loaded, Tokenizer::load(tokenizer).vocab_size(), "data.tokenizer");
  if (loaded.config.model.vocab_size == 0)
    fmt::print(
        stderr,
        "model.vocab_size is not given (training uses the tokenizer's size); planning for {}\n",
        ModelConfig{}.vocab_size);
  set_vocab_size(loaded, ModelConfig{}.vocab_size, "an assumption");
}

void plan(const PlanOptions& o) {
  const Device device = device_to_plan(o.device);
  LoadedConfig loaded = load_config(o.config, o.overrides);
  const RunConfig& config = loaded.config;
  std::vector<std::int64_t> tokens(config.data.sources.size(), 0);
  if (o.without_data) {
    assume_vocabulary(loaded);
  } else {
    const std::unique_ptr<TrainingData> data = open_data(config);
    tokens = data->token_counts();
    set_vocab_size(loaded, data->tokenizer().vocab_size(), "the data's tokenizer");
    if (needs_initial_weights(config, {}))
      find_initial_weights(config, device.facts().traits, data->tokenizer());
  }
  fmt::print("{}\n", plan_text(config, make_plan(config, tokens)));
  std::fflush(stdout);  // before what may not fit
  const std::string slow = slow_sizes(config.model, device.facts().traits);
  if (!slow.empty()) fmt::print(stderr, "tern: {}\n", slow);
  fmt::print("{}", memory_of_ranks(config, device, o.ranks, o.without_data));
  if (o.ranks > 1) print_exchange(config, o.ranks);
}

}  // namespace

void add_plan(CLI::App& tern) {
  CLI::App& command =
      *tern.add_subcommand("plan", "Show what a run needs: parameters, FLOP, memory, disk, steps.");
  const auto o = std::make_shared<PlanOptions>();
  command.add_option("CONFIG", o->config, "TOML file (docs/config.md)")
      ->transform(path_argument())
      ->required();
  add_settings(command, o->overrides);
  command.add_flag(
      "--without-data", o->without_data,
      "plan a run without its data, which may not be prepared yet, or not be on this machine");
  command
      .add_option("--ranks,--world", o->ranks,
                  "number of processes on one machine: plan the memory of rank 0 and of the "
                  "largest rank, and the data that they exchange")
      ->check(CLI::Range(1, 1 << 16));
  command.add_option("--device", o->device, "cpu, cuda or cuda:N")->capture_default_str();
  command.callback([o] { plan(*o); });
}

}  // namespace tern
