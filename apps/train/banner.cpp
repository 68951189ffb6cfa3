#include "apps/train/banner.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/console/text.h"
#include "apps/plan/plan.h"
#include "core/cpu/cpu_backend.h"
#include "data/io/byte_stream.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

std::string of_total(std::int64_t part, std::int64_t total) {
  return share_text(double(part) / double(total));
}

}  // namespace

std::map<std::string, std::string> library_versions() {
  std::map<std::string, std::string> all = data_library_versions();
  all["Eigen"] = CpuBackend::eigen_version();
  all["fmt"] =
      fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100);
  all["nlohmann-json"] = fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR,
                                     NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH);
  return all;
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
                   with_prefix(plan.gemm_flop_total))}};
  for (const SourcePlan& s : plan.sources)
    rows.push_back({"data", s.path,
                    fmt::format("{} tokens, {:.2f} epochs", count_text(double(s.tokens_per_epoch)),
                                s.epochs)});
  rows.insert(
      rows.end(),
      {bytes("memory at the peak", double(memory.peak), "allocated once, exactly this"),
       bytes("  parameters", double(memory.parameters)),
       bytes("  gradients", double(memory.gradients)), bytes("  moments", double(memory.moments)),
       bytes("  ternary copies", double(memory.ternary)),
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

void print_banner(OpenedRun& opened, RankZero& rank_zero) {
  const RunConfig& config = opened.config;
  const Environment& environment = rank_zero.environment;
  rank_zero.console.table(
      "tern " + environment.version,
      std::vector<TableRow>{
          {"machine", environment.cpu,
           fmt::format("{} cores, {}", environment.cores, bytes_text(environment.memory_bytes))},
          device_row(opened.device),
          ranks_row(opened.info, opened.ranks->transport()),
          {"measured peak", with_prefix(rank_zero.peak_flops) + "FLOP/s",
           fmt::format("a {} cubed{}",
                       opened.on_gpu() ? "bf16 product of 8192" : "float product of 1024",
                       opened.info.size > 1 ? ", on each rank" : "")},
          {"run", rank_zero.directory.path().string(), opened.loaded.file}});
  rank_zero.console.table(
      "plan", plan_rows(config, make_plan(config, opened.data.token_counts()), opened.memory));
}

}  // namespace tern
