#include "apps/train/train.h"

#include <fmt/format.h>

#include <random>

#include "apps/config/resolved.h"
#include "apps/console/text.h"
#include "apps/plan/plan.h"
#include "apps/run/launcher.h"
#include "apps/run/square_product.h"
#include "apps/system/environment.h"
#include "apps/train/banner.h"
#include "apps/train/course.h"
#include "apps/train/initial_weights.h"
#include "apps/train/resume.h"
#include "apps/train/saved_config.h"
#include "apps/train/training_run.h"
#include "apps/train/verify_data.h"
#include "data/io/files.h"
#include "data/io/hash.h"
#include "distributed/ranks.h"
#include "layers/model_config.h"
#include "runtime/quantities.h"
#include "runtime/training_state.h"

namespace tern {
namespace {

// The rate that plain products reach here: what "share of peak" is a share of. Takes a blink.
double measure_peak_flops(const Device& device) {
  const bool gpu = device.facts().traits.is_gpu();
  const Index n = gpu ? 8192 : 1024;
  const DType dtype = gpu ? DType::bf16 : DType::f32;
  const auto backend =
      make_backend(device, [&](Backend& on) { SquareProduct(on, dtype, n).seconds(); });
  const SquareProduct product(*backend, dtype, n);
  double best = product.seconds();
  for (int i = 1; i < 8; ++i) best = std::min(best, product.seconds());
  return product.flops() / best;
}

void start_from_weights(const std::string& path, const InitFromSection& from, Console& console,
                        Trainer& trainer, TrainingRun& run) {
  const Checkpoint checkpoint = Checkpoint::open(path);
  load_weights(checkpoint, trainer.pack());
  if (from.moments) {
    load_moments(checkpoint, trainer);
    run.start_adam_at(training_state(checkpoint.manifest(), path).adam_steps);
  }
  console.say(fmt::format("starting from the weights of {} (step {})", from.path,
                          checkpoint.manifest().step));
}

void start_with_new_weights(const RunConfig& config, Console& console, Trainer& trainer) {
  trainer.pack().initialize(std::uint64_t(config.run.seed));
  console.say(fmt::format("starting with new weights, seed {}", config.run.seed));
}

void go_on_from(const Checkpoint& start, Console& console, Trainer& trainer, TrainingRun& run) {
  const TrainingState saved = training_state(start.manifest(), start.path().string());
  load_weights(start, trainer.pack());
  load_moments(start, trainer);
  run.start_at(saved);
  console.say(fmt::format("resuming from {} (step {})", start.path().string(), saved.step));
  run.note_changes(saved_config(start));
}

Environment environment_on(const Device& device, const std::vector<std::string>& command) {
  std::map<std::string, std::string> libraries = library_versions();
  const DeviceFacts& facts = device.facts();
  if (facts.traits.is_gpu()) {
    libraries["GPU"] = facts.name + ", " + facts.library;
    const std::string algorithms = device.algorithms_hash();
    libraries["measured algorithms"] = algorithms.empty() ? "none" : algorithms;
  }
  return describe_environment(command, libraries);
}

Variables variables_with_flags(const TrainOptions& options) {
  Variables v = environment_variables();
  for (const auto& [flag, value] : options.rank_flags)
    if (!value.empty()) v[flag] = value;
  return v;
}

// A rank takes the GPU of its number on the machine, or the only one that its launcher shows it.
std::string device_of(const RankInfo& info, const std::string& device) {
  if (info.size == 1 || device == "cpu") return device;
  require(device == "cuda", Fault::usage, "--device ", device, ": ", info.size,
          " ranks take GPUs by their number on the machine: expected cpu or cuda");
  return "cuda:" + std::to_string(gpu_of(info, Device::count_gpus()));
}

std::string hash_of(const std::string& text) {
  return hash_hex(std::as_bytes(std::span(text)));
}

Identity identity_of(const RunConfig& config, const TrainingData& data, const Device& device) {
  std::string read = data.tokenizer().hash();
  for (const std::string& hash : data.hashes()) read += " " + hash;
  for (const ValidationSet& set : data.validation()) read += " " + set.tokens.content;
  constexpr std::uint64_t kLongestProgram = std::uint64_t(4) << 30;
  const bool gpu = device.facts().traits.is_gpu();
  return {.config = hash_of(values_without_paths(config) + (gpu ? "on GPUs" : "on CPUs")),
          .binary = hash_of(read_file("/proc/self/exe", kLongestProgram, Links::follow) +
                            device.algorithms_hash()),
          .data = hash_of(read),
          .device = device.facts().id};
}

// The smallest of all: how a batch is split decides about last bits.
void agree_on_micro_batch(ControlPlane& ranks, const RunConfig& config, const Device& device,
                          int on_machine, MemoryPlan& memory) {
  const std::vector<Index> all = ranks.agree_on(memory.micro_batch);
  const Index least = *std::min_element(all.begin(), all.end());
  if (least == memory.micro_batch) return;
  memory = plan_memory(config, least, device.facts().traits, {ranks.rank(), ranks.size()});
  plan_snapshot(memory, config, device, on_machine);
}

void complain(const std::string& what) {
  fmt::print(stderr, "tern: {}\n", what);
}

// One rank after the rendezvous.
struct RankContext {
  const RankInfo& info;
  const Device& device;
  TrainingData& data;
  const MemoryPlan& memory;
  const std::filesystem::path& initial_weights;  // "": new ones
  Ranks& ranks;
  std::unique_ptr<Backend>& backend;  // to be made
  const FaultInjection& injection;
};

// Every rank saves a shard in the run's directory: checks that all see the one that rank 0 has
// made.
void require_shared_directory(const RunConfig& config, ControlPlane& ranks) {
  const std::filesystem::path path = std::filesystem::path(config.run.directory) / config.run.name;
  std::string name;
  if (ranks.first()) {
    std::random_device random;
    name = fmt::format(".ranks-{:08x}{:08x}", random(), random());
    File::create(path / name);
  }
  name = ranks.from_first(name);
  std::error_code error;
  const bool there = std::filesystem::exists(path, error);
  const bool shared = std::filesystem::exists(path / name, error);
  ranks.agree_on(std::int32_t(shared));  // all have looked
  if (ranks.first()) std::filesystem::remove(path / name, error);
  require(shared, Fault::usage, "rank ", ranks.rank(), ": ", path.string(),
          there ? ": another directory than rank 0 sees" : ": not there, though rank 0 has made it",
          ": parallel.zero = 1 needs one that all ranks share: correct run.directory, or set "
          "parallel.zero = 0");
}

// Rank 0's own part: opens the run's directory and finds the checkpoint to start from.
struct RankZero {
  RankZero(const TrainOptions& options, const LoadedConfig& loaded, const RankContext& context)
      : environment(environment_on(context.device, options.command)),
        directory(std::filesystem::path(loaded.config.run.directory) / loaded.config.run.name,
                  existing_for(options.resume, options.overwrite),
                  [&](const std::string& saved, const std::string& where) {
                    return other_run(saved, where, loaded.config);
                  }),
        console(STDOUT_FILENO, directory.log()),
        start(find_start(options.resume, directory, console)),
        weights(start ? std::filesystem::path()
                      : directory.now_at(initial_weights(loaded, context))) {
    if (start) {
      require_same_run(*start, loaded.config);
      require_same_data(*start, context.data);
      warn_of_other_algorithms(*start, context.device.algorithms_hash(), console);
      const std::string abandoned = begin_course(directory, *start);
      if (!abandoned.empty())
        events.push_back({.step = std::int64_t(start->manifest().step),
                          .kind = "superseded",
                          .text = abandoned});
    } else {
      begin_course(directory);
    }
    directory.begin(resolved_config(loaded), environment);
  }
  const Environment environment;
  RunDirectory directory;
  Console console;
  const std::optional<Checkpoint> start;
  std::vector<EventReport> events{};
  const std::filesystem::path weights;  // of init_from, if the run is new and has it

 private:
  // checked by now, unless no checkpoint of the run itself turned out to be good
  static std::filesystem::path initial_weights(const LoadedConfig& loaded,
                                               const RankContext& context) {
    if (!context.initial_weights.empty()) return context.initial_weights;
    return find_initial_weights(loaded.config, context.device.facts().traits,
                                context.data.tokenizer().hash());
  }
};

void train_with(const TrainOptions& options, const LoadedConfig& loaded,
                const RankContext& context) {
  const RunConfig& config = loaded.config;
  std::optional<RankZero> rank_zero;  // on rank 0
  if (context.info.rank == 0) rank_zero.emplace(options, loaded, context);
  const bool shards_saved = config.parallel.zero && context.info.size > 1;
  if (shards_saved) require_shared_directory(config, context.ranks.control());
  Console nowhere(-1);
  Console& console = rank_zero ? rank_zero->console : nowhere;
  const RunParts parts{
      .loaded = loaded,
      .directory = rank_zero ? &rank_zero->directory : nullptr,
      .console = console,
      .data = context.data,
      .device = context.device,
      .memory = context.memory,
      .ranks = context.ranks.control(),
      .communicator = context.ranks.communicator(),
      .on_machine = context.info.local_size,
      .shards_saved = shards_saved,
      .peak_flops = rank_zero ? measure_peak_flops(context.device) : kUnknown,
      .runs_ahead = options.runs_ahead.value_or(context.device.facts().traits.is_gpu()),
      .injection = context.injection,
      .command = options.command,
      .events = rank_zero ? rank_zero->events : std::vector<EventReport>{}};
  if (rank_zero)
    print_banner(parts, rank_zero->environment, context.info, context.ranks.transport());
  const std::string slow = slow_sizes(config.model, context.device.facts().traits);
  if (!slow.empty()) console.warn(slow);
  context.backend = context.device.make_backend(context.memory.peak);
  Trainer trainer(*context.backend, config, context.memory.micro_batch,
                  context.info.size > 1 ? &context.ranks.communicator() : nullptr);
  TrainingRun run(parts, trainer);
  // rank 0 has chosen and checked a checkpoint, its own or init_from's; each rank reads its part
  const auto from_first = [&](const std::filesystem::path& path) {
    return context.ranks.control().from_first(path.string());
  };
  const std::string start =
      from_first(rank_zero && rank_zero->start ? rank_zero->start->path() : "");
  const std::string weights = from_first(rank_zero ? rank_zero->weights : "");
  if (rank_zero || parts.shards_saved) {
    if (!start.empty())
      go_on_from(Checkpoint::open(start), console, trainer, run);
    else if (!weights.empty())
      start_from_weights(weights, config.init_from, console, trainer, run);
    else
      start_with_new_weights(config, console, trainer);
  }
  run.share_start();
  run.run();
}

}  // namespace

void train(const TrainOptions& options) {
  die_with_launcher();
  LoadedConfig loaded = load_config(options.config, options.overrides);
  const RunConfig& config = loaded.config;
  const RankInfo info = find_rank_info(variables_with_flags(options));
  const Device device(device_of(info, options.device));
  const bool gpu = device.facts().traits.is_gpu();
  const FaultInjection injection = FaultInjection::parse(options.inject, gpu);
  TrainingData data(config);
  verify_data(config.data);
  set_vocab_size(loaded, data.tokenizer().vocab_size(), "the data's tokenizer");
  MemoryPlan memory = choose_memory_plan(config, device, {info.rank, info.size}, info.local_size);
  std::filesystem::path initial_weights;
  if (info.rank == 0 && needs_initial_weights(config, options.resume, options.overwrite))
    initial_weights = find_initial_weights(config, device.facts().traits, data.tokenizer().hash());
  Ranks ranks({.info = info,
               .identity = identity_of(config, data, device),
               .device_plugin = device.plugin_path(),
               .gpu = gpu,
               .start_timeout = double(config.ranks.start_timeout),
               .detector = {.timeout = double(config.ranks.timeout),
                            .grace = double(config.ranks.grace),
                            .stop_request =
                                [] {
                                  return StopRequest{Signals::stop_seen(), Signals::stop_seen_at()};
                                }},
               .log = complain});
  // its destructor waits for operations in flight: after the announcement
  std::unique_ptr<Backend> backend;
  try {
    agree_on_micro_batch(ranks.control(), config, device, info.local_size, memory);
    train_with(options, loaded,
               {.info = info,
                .device = device,
                .data = data,
                .memory = memory,
                .initial_weights = initial_weights,
                .ranks = ranks,
                .backend = backend,
                .injection = injection});
    ranks.announce_exit();
  } catch (...) {
    // a stop was agreed on by all ranks; other errors must be announced
    const ExitNotice end = exit_notice_of(std::current_exception());
    end.fault == Fault::stopped ? ranks.announce_exit()
                                : ranks.announce_failure(end.fault, end.why);
    throw;
  }
}

}  // namespace tern
