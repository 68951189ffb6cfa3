#include "apps/run/run_history.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/config/load.h"
#include "apps/run/run_directory.h"
#include "core/check.h"
#include "data/checkpoint/directory.h"
#include "data/io/files.h"

namespace tern {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr std::size_t kLongestLine = 16 << 20;  // bytes; diagnostics of many layers are the longest
constexpr std::uint64_t kLongestFile = 4ull << 30, kLongestConfig = 1 << 20;
constexpr double kGibibyte = 1 << 30;

// A value of a line; kUnknown, "" or false where there is none of that type.
double number(const Json& line, const char* name, double factor = 1) {
  const auto at = line.find(name);
  return at != line.end() && at->is_number() ? at->get<double>() * factor : kUnknown;
}
std::string text(const Json& line, const char* name) {
  const auto at = line.find(name);
  return at != line.end() && at->is_string() ? at->get<std::string>() : "";
}
bool flag(const Json& line, const char* name) {
  const auto at = line.find(name);
  return at != line.end() && at->is_boolean() && at->get<bool>();
}
std::int64_t whole(const Json& line, const char* name) {
  const double x = number(line, name);
  return std::abs(x) < 9e18 ? std::int64_t(x) : 0;  // false for kUnknown
}

StepReport step_report(const Json& line) {
  return {.step = whole(line, "step"),
          .tokens = whole(line, "tokens"),
          .loss = number(line, "loss"),
          .loss_mean = number(line, "loss_mean"),
          .learning_rate = number(line, "lr"),
          .gradient_norm = number(line, "grad_norm"),
          .clipped = flag(line, "grad_norm_clipped"),
          .tokens_per_second = number(line, "tok_s"),
          .step_seconds = number(line, "step_ms", 1e-3),
          .data_seconds = number(line, "data_ms", 1e-3),
          .share_of_peak = number(line, "share_of_peak"),
          .memory_bytes = number(line, "mem_gib", kGibibyte),
          .skipped = whole(line, "skipped"),
          .zero_share = number(line, "zero_frac"),
          .flip_rate = number(line, "flip_rate"),
          .gpu = {.utilization = number(line, "gpu_util"),
                  .power = number(line, "gpu_power_w"),
                  .temperature = number(line, "gpu_temp_c"),
                  .clock = number(line, "gpu_sm_mhz"),
                  .memory_bytes = number(line, "gpu_mem_gib", kGibibyte)}};
}

ValidationReport validation_report(const Json& line) {
  ValidationReport report{.step = whole(line, "step"),
                          .tokens = whole(line, "tokens"),
                          .loss = number(line, "loss"),
                          .bits_per_byte = number(line, "bits_per_byte"),
                          .seconds = number(line, "seconds"),
                          .best = flag(line, "best")};
  if (const auto sources = line.find("sources"); sources != line.end() && sources->is_object())
    for (const auto& [name, loss] : sources->items())
      report.sources.emplace_back(name, loss.is_number() ? loss.get<double>() : kUnknown);
  return report;
}

DiagnosticsReport diagnostics_report(const Json& line) {
  DiagnosticsReport report{.step = whole(line, "step"), .tokens = whole(line, "tokens")};
  if (const auto layers = line.find("layers"); layers != line.end() && layers->is_array())
    for (const Json& layer : *layers)
      if (layer.is_object())
        report.layers.push_back({.name = text(layer, "name"),
                                 .flip_rate = number(layer, "flip_rate"),
                                 .zero_share = number(layer, "zero_frac"),
                                 .scale = number(layer, "scale"),
                                 .activation_absmax = number(layer, "act_absmax"),
                                 .fp8_underflow = number(layer, "fp8_underflow")});
  return report;
}

CheckpointReport checkpoint_report(const Json& line) {
  return {.step = whole(line, "step"),
          .tokens = whole(line, "tokens"),
          .path = text(line, "path"),
          .problem = text(line, "problem"),
          .bytes = whole(line, "bytes"),
          .seconds = number(line, "seconds"),
          .stall_seconds = number(line, "stall_ms", 1e-3),
          .streamed = flag(line, "streamed")};
}

template <class Report>
void replace_from(Records<Report>& records, std::int64_t step) {
  while (!records.empty() && records.back().report.step >= step) records.pop_back();
}

// Reads line by line, with the clock of the run.
class Reader {
 public:
  explicit Reader(RunHistory& history) : history_(history) {}

  void read(std::string_view line) {
    if (!line.empty() && !take(line)) ++history_.unreadable;
  }

 private:
  // false if the line is not understood
  bool take(std::string_view bytes) {
    if (bytes.size() > kLongestLine) return false;
    const Json line = Json::parse(bytes, nullptr, false);
    if (!line.is_object()) return false;
    const std::string type = text(line, "t");
    const auto step = line.find("step");
    if (type.empty() || step == line.end() || !step->is_number_integer()) return false;
    advance_clock(number(line, "time"), type == "event" && text(line, "kind") == "start");
    if (type == "train" || type == "val") {
      if (std::isnan(number(line, "tokens"))) return false;
      type == "train" ? add(history_.steps, step_report(line))
                      : add(history_.validations, validation_report(line));
    } else if (type == "diagnostics") {
      add(history_.diagnostics, diagnostics_report(line));
    } else if (type == "ckpt") {
      add(history_.checkpoints, checkpoint_report(line));
    } else if (type == "sample") {
      add_sample(line);
    } else if (type == "event") {
      append(history_.events, {.step = whole(line, "step"),
                               .kind = text(line, "kind"),
                               .text = text(line, "text"),
                               .samples = {},
                               .changes = {}});
    }
    return true;
  }

  // From where one process ended until the next one's first step no time counts.
  void advance_clock(double time, bool started) {
    if (std::isnan(time)) return;
    if (!std::isnan(time_) && !started) seconds_ += std::max(0.0, time - time_);
    time_ = time;
  }

  template <class Report>
  void append(Records<Report>& to, Report report) {
    to.push_back({std::move(report), time_, std::isnan(time_) ? kUnknown : seconds_});
  }
  template <class Report>
  void add(Records<Report>& to, Report report) {
    replace_from(to, report.step);
    append(to, std::move(report));
  }
  // several of one step follow each other; the first one ends what was there
  void add_sample(const Json& line) {
    SampleReport sample{.step = whole(line, "step"),
                        .tokens = whole(line, "tokens"),
                        .index = 0,
                        .prompt = text(line, "prompt"),
                        .text = text(line, "text")};
    Records<SampleReport>& to = history_.samples;
    replace_from(to, sample.step + 1);
    if (!to.empty() && to.back().report.step == sample.step)
      sample.index = to.back().report.index + 1;
    append(to, std::move(sample));
  }

  RunHistory& history_;
  double time_ = kUnknown, seconds_ = 0;
};

RunState state_of(const SavedRun& run) {
  if (run_in_use(run.path)) return RunState::running;
  // after the end a validation or a save may still be written
  for (auto e = run.history.events.rbegin(); e != run.history.events.rend(); ++e) {
    const std::string& kind = e->report.kind;
    if (kind == "start") break;
    if (kind == "finish") return RunState::finished;
    if (kind == "stop") return RunState::stopped;
    if (kind == "give_up") return RunState::diverged;
    if (kind == "failure") return RunState::failed;
  }
  return RunState::unknown;
}

bool is_a_run(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path / "metrics.jsonl", error) ||
         fs::is_regular_file(path / "config.resolved.toml", error);
}

// Every run's directory below, whatever links lead to; nothing below a run.
void collect(const fs::path& path, std::vector<fs::path>& found, int depth) {
  constexpr int kDeepest = 8;
  if (is_a_run(path)) return found.push_back(path);
  std::error_code error;
  std::vector<fs::path> below;
  if (depth < kDeepest && fs::is_directory(path, error))
    for (const fs::directory_entry& entry : fs::directory_iterator(path, error))
      if (!entry.path().filename().string().starts_with('.') && entry.is_directory(error))
        below.push_back(entry.path());
  std::ranges::sort(below);
  for (const fs::path& next : below) collect(next, found, depth + 1);
}

template <class Report>
double seconds_by(const Records<Report>& records, std::int64_t step) {
  double seconds = 0;
  for (const auto& line : records)
    if (line.report.step <= step) seconds = std::fmax(seconds, line.seconds);
  return seconds;
}

template <class Report>
void delay(Records<Report>& records, double seconds) {
  for (auto& line : records) line.seconds += seconds;
}

// Seconds until the checkpoint that a run elsewhere left, RUN/checkpoints/step-N; 0: unknown.
double seconds_before(const fs::path& run, int depth) {
  constexpr int kLongestChain = 64;
  try {
    const fs::path checkpoint = noted_start(run / "checkpoints"),
                   other = checkpoint.parent_path().parent_path();
    const auto step = checkpoint_step(checkpoint.filename().string());
    if (depth >= kLongestChain || !step || !entry_exists(other / "metrics.jsonl")) return 0;
    const RunHistory h = read_history(other);
    return seconds_before(other, depth + 1) +
           std::fmax(seconds_by(h.steps, std::int64_t(*step)),
                     seconds_by(h.validations, std::int64_t(*step)));
  } catch (const Error&) {
    return 0;
  }
}

}  // namespace

const char* name_of(RunState state) {
  switch (state) {
    case RunState::running:
      return "running";
    case RunState::finished:
      return "finished";
    case RunState::stopped:
      return "stopped";
    case RunState::failed:
      return "failed";
    case RunState::diverged:
      return "diverged";
    default:
      return "ended";
  }
}

RunHistory parse_history(std::string_view metrics) {
  RunHistory history;
  Reader reader(history);
  while (!metrics.empty()) {
    const std::size_t end = std::min(metrics.find('\n'), metrics.size());
    reader.read(metrics.substr(0, end));
    metrics.remove_prefix(std::min(end + 1, metrics.size()));
  }
  return history;
}

RunHistory read_history(const fs::path& run) {
  std::error_code error;
  const bool directory = fs::is_directory(run, error);
  return parse_history(read_file(directory ? run / "metrics.jsonl" : run, kLongestFile));
}

double RunHistory::seconds() const {
  double last = kUnknown;
  const auto see = [&](const auto& records) {
    if (!records.empty()) last = std::fmax(last, records.back().seconds);
  };
  see(steps), see(validations), see(checkpoints), see(events);
  return last;
}

double RunHistory::tokens_per_second() const {
  std::vector<double> rates;
  for (const auto& line : steps)
    if (std::isfinite(line.report.tokens_per_second))
      rates.push_back(line.report.tokens_per_second);
  if (rates.empty()) return kUnknown;
  const auto middle = rates.begin() + std::ptrdiff_t(rates.size() / 2);
  std::ranges::nth_element(rates, middle);
  return *middle;
}

std::int64_t SavedRun::step() const {
  std::int64_t last = history.steps.empty() ? 0 : history.steps.back().report.step;
  if (!history.validations.empty()) last = std::max(last, history.validations.back().report.step);
  return last;
}

std::int64_t SavedRun::tokens() const {
  std::int64_t last = history.steps.empty() ? 0 : history.steps.back().report.tokens;
  if (!history.validations.empty()) last = std::max(last, history.validations.back().report.tokens);
  return last;
}

double SavedRun::flop_per_token() const {
  if (!config) return kUnknown;
  return tern::flop_per_token(config->model, config->batch.context);
}

SavedRun read_run(const fs::path& path) {
  std::error_code error;
  SavedRun run{.name = name_of_run(path), .path = path};
  if (fs::is_regular_file(path, error)) run.path = path.parent_path();
  if (fs::is_regular_file(path, error))
    run.history = read_history(path);
  else if (entry_exists(run.path / "metrics.jsonl"))
    run.history = read_history(run.path);
  else
    require(is_a_run(path), Fault::input, path.string(), ": expected a run's directory, got ",
            fs::is_directory(path, error) ? "one without metrics.jsonl" : "none");
  if (const double before = seconds_before(run.path, 0); before > 0) {
    RunHistory& h = run.history;
    delay(h.steps, before), delay(h.validations, before), delay(h.diagnostics, before);
    delay(h.samples, before), delay(h.checkpoints, before), delay(h.events, before);
  }
  const fs::path config = run.path / "config.resolved.toml", machine = run.path / "env.json";
  try {
    run.config = parse_config(read_file(config, kLongestConfig), config.string()).config;
  } catch (const Error& e) {
    run.config_problem = e.what();
  }
  if (entry_exists(machine)) run.environment = read_file(machine, kLongestConfig);
  run.state = state_of(run);
  return run;
}

std::string name_of_run(const fs::path& run) {
  fs::path path = fs::absolute(run).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  if (path.filename() == "metrics.jsonl") path = path.parent_path();
  return path.filename();
}

std::vector<fs::path> find_runs(const std::vector<fs::path>& paths) {
  std::vector<fs::path> found;
  for (const fs::path& path : paths) {
    const std::size_t before = found.size();
    const bool there = path_exists(path);
    std::error_code error;
    if (fs::is_regular_file(path, error))
      found.push_back(path);
    else
      collect(path, found, 0);
    require(found.size() > before, Fault::input, path.string(),
            ": expected a run's directory, or one with runs below it, got ",
            there ? "no run" : "nothing of that name");
  }
  std::set<fs::path> seen;
  std::erase_if(
      found, [&](const fs::path& path) { return !seen.insert(fs::weakly_canonical(path)).second; });
  return found;
}

}  // namespace tern
