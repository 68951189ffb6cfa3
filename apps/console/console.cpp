#include "apps/console/console.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <limits>

#include "core/clock.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

constexpr double kRedrawSeconds = 0.1;

// each line with the local time before it, as train.log has them
std::string stamped(std::string_view lines) {
  char now[32];
  const std::time_t seconds = std::time(nullptr);
  std::tm local{};
  localtime_r(&seconds, &local);
  std::strftime(now, sizeof now, "%Y-%m-%d %H:%M:%S  ", &local);
  std::string out;
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    out.append(now).append(lines.substr(0, end)).append("\n");
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
  return out;
}

std::string indented(std::string_view text) {
  text = text.substr(0, text.find_last_not_of('\n') + 1);
  std::string out = "  | ";
  for (const char c : text) {
    out += c;
    if (c == '\n') out += "  | ";
  }
  return out;
}

std::string styled(const Terminal& on, const std::vector<LinePart>& parts) {
  std::string line;
  for (const LinePart& p : parts) {
    line += line.empty() ? "" : "  ";
    line += p.alarming ? on.styled(Style::warning, p.text())
                       : on.styled(Style::dim, p.before) + p.value + on.styled(Style::dim, p.after);
  }
  return line;
}

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

Console::Console(int descriptor, const std::filesystem::path& log) : terminal_(descriptor) {
  if (!log.empty()) log_.emplace(log);
}

void Console::log(std::string_view lines) {
  if (!log_ || log_->append(stamped(lines)) || log_failed_) return;
  log_failed_ = true;
  const std::string why = "warning: train.log: " + log_->problem() + ": lines are lost";
  terminal_.print(terminal_.styled(Style::warning, why));
}

void Console::permanent(std::string_view styled_text, std::string_view plain) {
  terminal_.print(styled_text);
  log(plain);
}

void Console::permanent(Style style, std::string_view text) {
  const std::string safe = printable(text);
  permanent(terminal_.styled(style, safe), safe);
}

void Console::say(std::string_view text) {
  permanent(Style::plain, text);
}

void Console::warn(std::string_view text) {
  permanent(Style::warning, "warning: " + std::string(text));
}

void Console::table(std::string_view heading, std::span<const TableRow> rows) {
  std::size_t keys = 0, values = 0;
  for (const TableRow& r : rows) {
    keys = std::max(keys, r.key.size());
    if (!r.note.empty()) values = std::max(values, r.value.size());
  }
  std::string shown = terminal_.styled(Style::bold, heading), plain(heading);
  for (const TableRow& r : rows) {
    const std::string key = fmt::format("  {:<{}}  ", r.key, keys);
    const std::string note = r.note.empty() ? "" : fmt::format("  {}", printable(r.note));
    const std::string value =
        fmt::format("{:<{}}", printable(r.value), r.note.empty() ? 0 : values);
    shown += '\n' + terminal_.styled(Style::dim, key) + value + terminal_.styled(Style::dim, note);
    plain += '\n' + key + value + note;
  }
  permanent(shown, plain);
}

void Console::report(const StepReport& r) {
  const std::vector<LinePart> parts = step_parts(r);
  permanent(styled(terminal_, fitting(parts, terminal_.columns())), joined(parts));
}

void Console::report(const ValidationReport& r) {
  std::string line =
      fmt::format("val   step {}  loss {:.3f}  ppl {:.1f}", r.step, r.loss, std::exp(r.loss));
  if (!std::isnan(r.bits_per_byte)) line += fmt::format("  bits/byte {:.3f}", r.bits_per_byte);
  for (const auto& [name, loss] : r.sources) line += fmt::format("  {} {:.3f}", name, loss);
  line += "  " + duration_text(r.seconds) + (r.best ? "  best" : "");
  permanent(Style::bold, line);
}

void Console::report(const SampleReport& r) {
  const std::string head = fmt::format("sample at step {}", r.step);
  const std::string prompt = printable(r.prompt), text = printable(r.text);
  permanent(terminal_.styled(Style::dim, head) + "\n" +
                indented(terminal_.styled(Style::dim, prompt) + text),
            head + "\n" + indented(prompt + text));
}

void Console::report(const CheckpointReport& r) {
  if (!r.problem.empty()) {
    warn(fmt::format("checkpoint step {} failed: {}; training continues", r.step, r.problem));
    return;
  }
  permanent(Style::good, fmt::format("checkpoint step {} -> {} ({}, {}{})", r.step, r.path,
                                     bytes_text(double(r.bytes)), duration_text(r.seconds),
                                     r.streamed ? ", streamed" : ""));
}

void Console::report(const EventReport& r) {
  std::string line = fmt::format("{} at step {}: {}", r.kind, r.step, r.text);
  if (!r.samples.empty()) {
    constexpr std::size_t kMost = 8;  // metrics.jsonl has them all
    line += " (samples";
    for (std::size_t i = 0; i < std::min(kMost, r.samples.size()); ++i)
      line += fmt::format(" {}", r.samples[i]);
    line += r.samples.size() > kMost ? " ...)" : ")";
  }
  permanent(Style::warning, line);
}

void Console::report(const DiagnosticsReport& r) {
  if (r.layers.empty()) return;
  std::vector<LinePart> parts = {{.before = "layers step ", .value = std::to_string(r.step)}};
  // the range over the layers of which it is known, if there are any
  const auto add = [&](const char* name, double LayerDiagnostics::*field, auto&& text,
                       int gives_way = 0) {
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (const LayerDiagnostics& layer : r.layers)
      if (const double x = layer.*field; std::isfinite(x))
        low = std::min(low, x), high = std::max(high, x);
    if (low <= high)
      parts.push_back(
          {.before = name, .value = text(low) + ".." + text(high), .gives_way = gives_way});
  };
  const auto short_text = [](double x) { return fmt::format("{:.2g}", x); };
  add("zeros ", &LayerDiagnostics::zero_share, share_text);
  add("flips ", &LayerDiagnostics::flip_rate, short_text);
  add("scale ", &LayerDiagnostics::scale, short_text, 2);
  add("absmax ", &LayerDiagnostics::activation_absmax, short_text, 1);
  add("underflow ", &LayerDiagnostics::fp8_underflow, short_text, 3);
  permanent(terminal_.styled(Style::dim, joined(fitting(parts, terminal_.columns()))),
            joined(parts));
}

void Console::report(const RunSummary& r) {
  std::vector<TableRow> rows = {
      {"steps", fmt::format("{} of {}", r.step, r.steps)},
      {"tokens", count_text(double(r.tokens))},
  };
  if (r.training_seconds > 0)
    rows.push_back({"time", duration_text(r.wall_seconds),
                    (r.started > 0 ? fmt::format("from step {} on, ", r.started) : "") +
                        share_text(r.training_seconds / r.wall_seconds) + " of it in steps"});
  if (!std::isnan(r.tokens_per_second))
    rows.push_back({"speed", count_text(r.tokens_per_second) + " tok/s"});
  if (!std::isnan(r.best_validation_loss))
    rows.push_back(
        {"best val", fmt::format("{:.4f}", r.best_validation_loss),
         fmt::format("ppl {:.2f}, step {}", std::exp(r.best_validation_loss), r.best_step)});
  if (r.peak_memory_bytes > 0) rows.push_back({"peak memory", bytes_text(r.peak_memory_bytes)});
  if (r.skipped > 0)
    rows.push_back({"skipped", fmt::format("{} update{}", r.skipped, r.skipped == 1 ? "" : "s")});
  for (const std::string& f : r.files) rows.push_back({&f == &r.files[0] ? "files" : "", f});
  for (const std::string& c : r.next_commands)
    rows.push_back({&c == &r.next_commands[0] ? "try next" : "", c});
  end_live();
  table(r.outcome, rows);
}

void Console::live(const StepReport& r) {
  const double now = monotonic_seconds();
  if (!terminal_.live() || (drawn_ >= 0 && now - drawn_ < kRedrawSeconds)) return;
  drawn_ = now;
  std::vector<LinePart> parts = step_parts(r);
  if (r.steps > 0) parts.insert(parts.begin(), progress_bar(double(r.step) / double(r.steps)));
  // One column stays free: a full line makes some terminals wrap.
  parts = fitting(std::move(parts), terminal_.columns() - 1);
  const bool fits = int(joined(parts).size()) < terminal_.columns();
  terminal_.status(fits ? styled(terminal_, parts)
                        : joined(parts).substr(0, std::size_t(terminal_.columns() - 1)));
}

void Console::live(std::string_view activity) {
  drawn_ = -1;
  if (terminal_.live()) terminal_.status(activity.substr(0, std::size_t(terminal_.columns() - 1)));
}

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
