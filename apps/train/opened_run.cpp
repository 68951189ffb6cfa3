#include "apps/train/opened_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/config/resolved.h"
#include "apps/run/signals.h"
#include "apps/train/initial_weights.h"
#include "apps/train/verify_data.h"
#include "data/io/files.h"
#include "data/io/hash.h"

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
    initial_weights = find_initial_weights(config, device.facts().traits, data.tokenizer().hash());
  ranks.emplace(ranks_setup(*this));
}

std::filesystem::path OpenedRun::directory() const {
  return std::filesystem::path(config.run.directory) / config.run.name;
}

void OpenedRun::agree_on_micro_batch() {
  const std::vector<Index> all = control().agree_on(memory.micro_batch);
  const Index least = *std::min_element(all.begin(), all.end());
  if (least == memory.micro_batch) return;
  memory = plan_memory(config, least, device.facts().traits, {info.rank, info.size});
  plan_snapshot(memory, config, device, info.local_size);
}

}  // namespace tern
