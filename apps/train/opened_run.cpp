#include "apps/train/opened_run.h"

#include <fmt/format.h>
#include <unistd.h>

#include <random>

#include "apps/bench/bench.h"
#include "apps/config/resolved.h"
#include "apps/plan/plan.h"
#include "apps/run/signals.h"
#include "apps/train/course.h"
#include "apps/train/verify_data.h"
#include "data/io/files.h"
#include "data/io/hash.h"
#include "layers/model_config.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

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

Identity identity_of(const OpenedRun& opened) {
  const TrainingData& data = opened.data;
  std::string read = data.tokenizer().hash();
  for (const std::string& hash : data.hashes()) read += " " + hash;
  for (const ValidationSet& set : data.validation()) read += " " + set.tokens.content;
  constexpr std::uint64_t kLongestProgram = std::uint64_t(4) << 30;
  return {.config = hash_of(values_without_paths(opened.config) +
                            (opened.on_gpu() ? "on GPUs" : "on CPUs")),
          .binary = hash_of(read_file("/proc/self/exe", kLongestProgram, Links::follow) +
                            opened.device.algorithms_hash()),
          .data = hash_of(read),
          .device = opened.device.facts().id};
}

void print_error(const std::string& what) {
  fmt::print(stderr, "tern: {}\n", what);
}

RanksSetup ranks_setup(const OpenedRun& opened) {
  const RanksSection& times = opened.config.ranks;
  return {.info = opened.info,
          .identity = identity_of(opened),
          .device_plugin = opened.device.plugin_path(),
          .gpu = opened.on_gpu(),
          .start_timeout = double(times.start_timeout),
          .detector = {.timeout = double(times.timeout),
                       .grace = double(times.grace),
                       .stop_request =
                           [] {
                             return StopRequest{Signals::stop_seen(), Signals::stop_seen_at()};
                           }},
          .log = print_error};
}

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

// Checked by now, unless no checkpoint of the run itself turned out to be good.
std::filesystem::path initial_weights(const OpenedRun& opened) {
  if (!opened.initial_weights.empty()) return opened.initial_weights;
  return find_initial_weights(opened.config, opened.device.facts().traits, opened.data.tokenizer());
}

std::string of_total(std::int64_t part, std::int64_t total) {
  return share_text(double(part) / double(total));
}

std::vector<TableRow> plan_rows(const RunConfig& config, const Plan& plan,
                                const MemoryPlan& memory) {
  const ParameterCount& p = plan.parameters;
  const auto row = [&](const char* name, std::int64_t n) {
    return TableRow{name, count_text(double(n)), of_total(n, p.total())};
  };
  const auto bytes = [](const char* name, double n, std::string note = {}) {
    return TableRow{name, bytes_text(n), std::move(note)};
  };
  std::vector<TableRow> rows = {
      {"parameters", count_text(double(p.total())),
       fmt::format("D {}, L {}, H {}, V {}", config.model.width, config.model.layers,
                   config.model.glu_width(), config.model.vocab_size)},
      row("  ternary body", p.body()),
      row("  head", p.head),
      row("  embedding", p.embedding),
      row("  norms, bounds", p.norms + p.lower_bounds),
      {"GEMM work per token", with_prefix(double(plan.gemm_flop_per_token)) + "FLOP",
       "forward and backward"},
      {"batch", fmt::format("{} tokens", plan.tokens_per_step),
       fmt::format("{} sequences of {}, {} at once", plan.sequences_per_step, config.batch.context,
                   memory.micro_batch)},
      {"run", fmt::format("{} steps", plan.steps),
       fmt::format("{} tokens, {}FLOP", count_text(double(plan.tokens)),
                   with_prefix(plan.flop_total))}};
  for (const SourcePlan& s : plan.sources)
    rows.push_back({"data", s.path,
                    fmt::format("{} tokens, {:.2f} epochs", count_text(double(s.tokens_per_epoch)),
                                s.epochs)});
  rows.insert(
      rows.end(),
      {bytes("memory at the peak", double(memory.peak), "allocated once, exactly this"),
       bytes("  parameters", double(memory.parameters)),
       bytes("  gradients", double(memory.gradients)), bytes("  moments", double(memory.moments)),
       bytes("  copies for products", double(memory.copies)),
       bytes("  activations", double(memory.activations)),
       bytes("copy for a checkpoint", double(memory.snapshot), snapshot_text(memory)),
       bytes("a checkpoint", double(plan.checkpoint_bytes),
             fmt::format("{} on disk at most", bytes_text(plan.disk_bytes)))});
  return rows;
}

TableRow device_row(const Device& device) {
  if (!device.facts().traits.is_gpu()) return {"device", "cpu", "f32 and f64"};
  return {"device", device.facts().name, device.facts().library};
}

// the ranks, and the source of that information
TableRow ranks_row(const RankInfo& info, const std::string& transport) {
  return {"ranks", fmt::format("{}", info.size),
          info.size == 1 ? "one process"
                         : fmt::format("found by {}, connected over {}, this is rank 0",
                                       info.launcher, transport)};
}

}  // namespace

OpenedRun::OpenedRun(const TrainOptions& given)
    : options(given),
      loaded(load_config(options.config_file, options.overrides)),
      info(find_rank_info(variables_with_flags(options))),
      device(device_of(info, options.device)),
      injection(FaultInjection::parse(options.inject, on_gpu())),
      data(config) {
  verify_data(config.data);
  set_vocab_size(loaded, data.tokenizer().vocab_size(), "the data's tokenizer");
  memory = choose_memory_plan(config, device, {info.rank, info.size}, info.local_size);
  if (info.rank == 0 && needs_initial_weights(config, options))
    initial_weights = find_initial_weights(config, device.facts().traits, data.tokenizer());
  ranks.emplace(ranks_setup(*this));
}

std::filesystem::path OpenedRun::directory() const {
  return std::filesystem::path(config.run.directory) / config.run.name;
}

void OpenedRun::agree_on_micro_batch() {
  const std::vector<Index> all = control().all_gather_value(memory.micro_batch);
  const Index least = *std::min_element(all.begin(), all.end());
  if (least == memory.micro_batch) return;
  memory = plan_memory(config, least, device.facts().traits, {info.rank, info.size});
  plan_snapshot(memory, config, device, info.local_size);
}

RankZero::RankZero(const OpenedRun& opened)
    : environment(environment_on(opened.device, opened.options.command)),
      directory(opened.directory(), existing_for(opened.options),
                [&](const std::string& saved, const std::string& where) {
                  return other_run(saved, where, opened.config);
                }),
      console(STDOUT_FILENO, directory.log()),
      start(find_start(opened.options, directory, console)),
      weights(start ? std::filesystem::path() : directory.now_at(initial_weights(opened))) {
  if (start) {
    require_same_run(*start, opened.config);
    require_same_data(*start, opened.data);
    warn_of_other_algorithms(*start, opened.device.algorithms_hash(), console);
    const std::string abandoned = begin_course(directory, *start);
    if (!abandoned.empty())
      events.push_back(
          {.step = std::int64_t(start->manifest().step), .kind = "superseded", .text = abandoned});
  } else {
    begin_course(directory);
  }
  directory.begin(resolved_config(opened.loaded), environment);
}

void RankZero::print_banner(OpenedRun& opened) {
  peak_flops = measure_peak_flops(opened.device);
  const RunConfig& config = opened.config;
  console.table(
      "tern " + environment.version,
      std::vector<TableRow>{
          {"machine", environment.cpu,
           fmt::format("{} cores, {}", environment.cores, bytes_text(environment.memory_bytes))},
          device_row(opened.device),
          ranks_row(opened.info, opened.ranks->transport()),
          {"measured peak", with_prefix(peak_flops) + "FLOP/s",
           fmt::format("a {} cubed{}",
                       opened.on_gpu() ? "bf16 product of 8192" : "float product of 1024",
                       opened.info.size > 1 ? ", on each rank" : "")},
          {"run", directory.path().string(), opened.loaded.file}});
  console.table("plan",
                plan_rows(config, make_plan(config, opened.data.token_counts()), opened.memory));
  const std::string slow = slow_sizes(config.model, opened.device.facts().traits);
  if (!slow.empty()) console.warn(slow);
}

void require_shared_directory(OpenedRun& opened) {
  ControlPlane& control = opened.control();
  const std::filesystem::path path = opened.directory();
  std::string name;
  if (control.first()) {
    std::random_device random;
    name = fmt::format(".ranks-{:08x}{:08x}", random(), random());
    File::create(path / name);
  }
  name = control.broadcast(name);
  std::error_code error;
  const bool there = std::filesystem::exists(path, error);
  const bool shared = std::filesystem::exists(path / name, error);
  control.all_gather_value(std::int32_t(shared));  // all have looked
  if (control.first()) std::filesystem::remove(path / name, error);
  require(shared, Fault::usage, "rank ", control.rank(), ": ", path.string(),
          there ? ": another directory than rank 0 sees" : ": not there, though rank 0 has made it",
          ": parallel.zero = 1 needs one that all ranks share: correct run.directory, or set "
          "parallel.zero = 0");
}

}  // namespace tern
