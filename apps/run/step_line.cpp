#include "apps/run/step_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "runtime/quantities.h"

namespace tern {
namespace {

// "61/141G": both in the unit of the larger; "16M/24G" where that would show as nothing
std::string memory_text(double used, double limit) {
  const std::string most = bytes_text(std::max(used, limit));
  const std::size_t gap = most.find(' ');
  const std::string unit = most[gap + 1] == 'B' ? "B" : most.substr(gap + 1, 1);
  if (limit <= 0) return most.substr(0, gap) + unit;
  double scale = 1;
  for (const char* u = "BkMGTP"; *u != unit[0]; ++u) scale *= 1000;
  const double share = used / scale;
  if (share < 0.095) return memory_text(used, 0) + "/" + memory_text(limit, 0);
  return fmt::format("{:.{}f}/{}{}", share, share < 9.95 ? 1 : 0, most.substr(0, gap), unit);
}

std::string perplexity_text(double loss) {
  const double p = std::exp(loss);
  return p < 9999.5 ? fmt::format("{:.{}f}", p, p < 99.95 ? 1 : 0) : fmt::format("{:.1e}", p);
}

std::string norm_text(double norm) {
  const bool plain = !std::isfinite(norm) || (norm >= 0.0995 && norm < 999.5);
  return plain ? fmt::format("{:.2f}", norm) : fmt::format("{:.1e}", norm);
}

// "98% 651W 61C 1755MHz"
std::string gpu_text(const GpuReadings& gpu) {
  std::string text;
  const auto add = [&](double value, const std::string& part) {
    if (!std::isnan(value)) text += (text.empty() ? "" : " ") + part;
  };
  add(gpu.utilization, share_text(gpu.utilization));
  add(gpu.power, fmt::format("{:.0f}W", gpu.power));
  add(gpu.temperature, fmt::format("{:.0f}C", gpu.temperature));
  add(gpu.clock, fmt::format("{:.0f}MHz", gpu.clock));
  return text;
}

// The order in which parts give way, last first.
enum Rank {
  kStays,
  kEta,
  kRate,
  kPercent,
  kMean,
  kRateOfLearning,
  kPeak,
  kMemory,
  kBar,
  kNorm,
  kPerplexity,
  kGpu,
  kData,
  kTernary
};

}  // namespace

std::vector<LinePart> step_parts(const StepReport& r) {
  const auto known = [](double x) { return !std::isnan(x); };
  const bool bad = !std::isfinite(r.loss);
  const double done = r.steps > 0 ? double(r.step) / double(r.steps) : 0;
  const int digits = int(std::to_string(r.steps).size());

  std::vector<LinePart> parts;
  const auto add = [&](int rank, std::string before, std::string value, std::string after = {}) {
    parts.push_back({std::move(before), std::move(value), std::move(after), rank});
  };
  add(kStays, "step ", fmt::format("{:>{}}", r.step, digits), fmt::format("/{}", r.steps));
  add(kPercent, "", fmt::format("{:4.1f}%", 100 * done));
  add(kStays, "loss ", fmt::format("{:.3f}", r.loss));
  parts.back().alarming = bad;
  if (known(r.loss_mean)) add(kMean, "mean ", fmt::format("{:.3f}", r.loss_mean));
  if (!bad) add(kPerplexity, "ppl ", perplexity_text(r.loss));
  add(kRateOfLearning, "lr ", fmt::format("{:.1e}", r.learning_rate));
  add(kNorm, "|g| ", norm_text(r.gradient_norm));
  parts.back().alarming = !std::isfinite(r.gradient_norm);
  if (known(r.tokens_per_second)) add(kRate, "", count_text(r.tokens_per_second), " tok/s");
  if (known(r.share_of_peak)) add(kPeak, "peak ", share_text(r.share_of_peak));
  if (r.memory_bytes > 0) add(kMemory, "mem ", memory_text(r.memory_bytes, r.memory_limit_bytes));
  if (r.step_seconds > 0) add(kData, "data ", share_text(r.data_seconds / r.step_seconds));
  if (known(r.zero_share)) add(kTernary, "zeros ", share_text(r.zero_share));
  if (known(r.flip_rate)) add(kTernary, "flips ", fmt::format("{:.1e}", r.flip_rate));
  if (const std::string gpu = gpu_text(r.gpu); !gpu.empty()) add(kGpu, "gpu ", gpu);
  if (r.skipped > 0) {
    add(kStays, "skipped ", std::to_string(r.skipped));
    parts.back().alarming = true;
  }
  if (known(r.seconds_left)) add(kEta, "eta ", duration_text(r.seconds_left));
  return parts;
}

LinePart progress_bar(double share) {
  constexpr int kCells = 20;
  const int full = std::clamp(int(share * kCells), 0, kCells);
  std::string bar(std::size_t(full), '=');
  if (full < kCells) bar += '>';
  bar.resize(kCells, ' ');
  return {.before = "[", .value = bar, .after = "]", .gives_way = kBar};
}

std::vector<LinePart> fitting(std::vector<LinePart> parts, int columns) {
  const auto later = [](const LinePart& a, const LinePart& b) { return a.gives_way < b.gives_way; };
  while (!parts.empty() && joined(parts).size() > std::size_t(columns)) {
    const auto first = std::max_element(parts.begin(), parts.end(), later);
    if (first->gives_way == kStays) break;
    parts.erase(first);
  }
  return parts;
}

std::string joined(const std::vector<LinePart>& parts) {
  std::string line;
  for (const LinePart& p : parts) line += (line.empty() ? "" : "  ") + p.text();
  return line;
}

}  // namespace tern
