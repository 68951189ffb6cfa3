#include "apps/run/run_record.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kGibibyte = 1 << 30;

// a measurement, to five digits; left out when unknown
void measure(Json& object, const char* name, double value) {
  if (!std::isfinite(value)) return;
  char text[32];
  std::snprintf(text, sizeof text, "%.5g", value);
  object[name] = std::strtod(text, nullptr);
}

// A line under construction: knows which numbers to leave out and which are alarming.
class Line {
 public:
  Line(const char* type, std::int64_t step) {
    json_ = {{"v", kMetricsVersion}, {"t", type}, {"step", step}};
  }

  template <class T>
  Line& add(const char* name, T&& value) {
    json_[name] = std::forward<T>(value);
    return *this;
  }

  // a result of training, to the last bit; null when it is not finite
  Line& result(const char* name, double value) {
    json_[name] = std::isfinite(value) ? Json(value) : Json();
    nonfinite_ = nonfinite_ || !std::isfinite(value);
    return *this;
  }

  Line& results(const char* name, const std::vector<std::pair<std::string, double>>& values) {
    Json object = Json::object();
    for (const auto& [key, value] : values) {
      object[key] = std::isfinite(value) ? Json(value) : Json();
      nonfinite_ = nonfinite_ || !std::isfinite(value);
    }
    return add(name, std::move(object));
  }

  Line& measured(const char* name, double value) {
    measure(json_, name, value);
    return *this;
  }

  // Text from outside may hold any bytes: those that are no UTF-8 become U+FFFD.
  std::string finish() {
    using namespace std::chrono;
    if (nonfinite_) json_["nonfinite"] = true;
    const auto now = system_clock::now().time_since_epoch();
    json_["time"] = double(duration_cast<milliseconds>(now).count()) / 1e3;
    return json_.dump(-1, ' ', false, Json::error_handler_t::replace);
  }

 private:
  Json json_;
  bool nonfinite_ = false;
};

}  // namespace

Metrics::Metrics(const std::filesystem::path& path, std::function<void(const std::string&)> warn)
    : file_(path), warn_(std::move(warn)) {}

void Metrics::append(const std::string& line) {
  std::string lines = line;
  if (lost_ > 0)
    lines = Line("event", 0).add("kind", "metrics_lost").add("lines", lost_).finish() + '\n' + line;
  if (file_.append(lines)) {
    lost_ = 0;
    return;
  }
  ++lost_;
  if (!std::exchange(warned_, true))
    warn_("metrics.jsonl: " + file_.problem() + ": lines are lost until there is room; " +
          "training continues");
}

void Metrics::write(const StepReport& r) {
  append(Line("train", r.step)
             .add("tokens", r.tokens)
             .result("loss", r.loss)
             .measured("loss_mean", r.loss_mean)
             .add("lr", r.learning_rate)
             .result("grad_norm", r.gradient_norm)
             .add("grad_norm_clipped", r.clipped)
             .measured("tok_s", r.tokens_per_second)
             .measured("step_ms", r.step_seconds * 1e3)
             .measured("data_ms", r.data_seconds * 1e3)
             .measured("share_of_peak", r.share_of_peak)
             .measured("mem_gib", r.memory_bytes / kGibibyte)
             .add("skipped", r.skipped)
             .measured("zero_frac", r.zero_share)
             .measured("flip_rate", r.flip_rate)
             .measured("gpu_util", r.gpu.utilization)
             .measured("gpu_power_w", r.gpu.power)
             .measured("gpu_temp_c", r.gpu.temperature)
             .measured("gpu_sm_mhz", r.gpu.clock)
             .measured("gpu_mem_gib", r.gpu.memory_bytes / kGibibyte)
             .finish());
}

void Metrics::write(const ValidationReport& r) {
  Line line("val", r.step);
  line.add("tokens", r.tokens).result("loss", r.loss).measured("seconds", r.seconds);
  if (!std::isnan(r.bits_per_byte)) line.result("bits_per_byte", r.bits_per_byte);
  line.add("best", r.best);
  if (!r.sources.empty()) line.results("sources", r.sources);
  append(line.finish());
}

void Metrics::write(const SampleReport& r) {
  append(Line("sample", r.step)
             .add("tokens", r.tokens)
             .add("prompt", r.prompt)
             .add("text", r.text)
             .finish());
}

void Metrics::write(const CheckpointReport& r) {
  Line line("ckpt", r.step);
  line.add("tokens", r.tokens).add("path", r.path).add("ok", r.problem.empty());
  if (!r.problem.empty()) line.add("problem", r.problem);
  append(line.add("bytes", r.bytes)
             .measured("seconds", r.seconds)
             .measured("stall_ms", r.stall_seconds * 1e3)
             .add("streamed", r.streamed)
             .finish());
}

void Metrics::write(const EventReport& r) {
  Line line("event", r.step);
  line.add("kind", r.kind).add("text", r.text);
  if (!r.samples.empty()) line.add("samples", r.samples);
  Json changes = Json::object();
  for (const Difference& d : r.changes) changes[d.key] = {d.before, d.after};
  if (!changes.empty()) line.add("changes", std::move(changes));
  append(line.finish());
}

void Metrics::write(const DiagnosticsReport& r) {
  Json layers = Json::array();
  for (const LayerDiagnostics& l : r.layers) {
    Json layer = {{"name", l.name}};
    measure(layer, "flip_rate", l.flip_rate);
    measure(layer, "zero_frac", l.zero_share);
    measure(layer, "scale", l.scale);
    measure(layer, "act_absmax", l.activation_absmax);
    measure(layer, "fp8_underflow", l.fp8_underflow);
    layers.push_back(std::move(layer));
  }
  append(Line("diagnostics", r.step).add("tokens", r.tokens).add("layers", layers).finish());
}

void drop_metrics_after(const std::filesystem::path& path, std::int64_t step) {
  if (!path_exists(path)) return;
  constexpr std::uint64_t kMostBytes = 4ull << 30;
  const std::string all = read_file(path, kMostBytes);
  std::string kept;
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = all.find('\n', begin);
    if (end == std::string::npos) break;  // unfinished
    const std::string_view line(all.data() + begin, end + 1 - begin);
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_object() && json.contains("step") && json["step"].is_number_integer() &&
        json["step"].get<std::int64_t>() <= step)
      kept += line;
    begin = end + 1;
  }
  if (kept.size() != all.size()) write_file_atomically(path, kept);
}

RunRecord::RunRecord(const RunDirectory& directory, Console& console, bool tensorboard,
                     std::string program)
    : directory_(directory),
      console_(console),
      metrics_(directory.metrics(), [this](const std::string& text) { console_.warn(text); }),
      picture_(
          directory.path(), [this](const std::string& text) { console_.warn(text); },
          std::move(program)),
      tensorboard_(tensorboard) {}

template <class Report>
void RunRecord::show(const Report& report) {
  if (!tensorboard_) return;
  try {
    if (!board_)
      board_ = std::make_unique<TensorBoard>(
          directory_.tensorboard(), [this](const std::string& text) { console_.warn(text); });
    board_->write(report);
  } catch (const Error& e) {
    tensorboard_ = false;
    console_.warn(std::string("tensorboard: ") + e.what());
  }
}

void RunRecord::step(const StepReport& report, bool recorded) {
  if (recorded) {
    console_.report(report);
    metrics_.write(report);
    show(report);
  }
  console_.live(report);
}

void RunRecord::add(const ValidationReport& report) {
  console_.report(report);
  metrics_.write(report);
  show(report);
  picture_.refresh();
}

void RunRecord::add(const SampleReport& report) {
  console_.report(report);
  metrics_.write(report);
  show(report);
  if (report.index == 0)
    samples_.clear();
  else
    samples_.append("\n").append(40, '-').append("\n\n");
  samples_ += report.prompt + report.text + "\n";
  try {
    write_file_atomically(directory_.sample(report.step), samples_);
  } catch (const Error& e) {
    if (!std::exchange(sample_lost_, true)) console_.warn(e.what());
  }
}

void RunRecord::add(const CheckpointReport& report) {
  console_.report(report);
  metrics_.write(report);
}

void RunRecord::add(const EventReport& report) {
  console_.report(report);
  metrics_.write(report);
}

void RunRecord::note(const EventReport& report) {
  metrics_.write(report);
}

void RunRecord::add(const DiagnosticsReport& report) {
  console_.report(report);
  metrics_.write(report);
}

void RunRecord::finish(const RunSummary& report) {
  console_.end_live();
  picture_.finish();
  console_.report(report);
}

}  // namespace tern
