#include "apps/plot/plot.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "apps/system/child.h"
#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLongestLine = 1 << 20;  // bytes; ours have a few hundred
constexpr std::uint64_t kLongestFile = 4ull << 30;

bool has_number(const Json& line, const char* name) {
  return line.contains(name) && line[name].is_number();
}

// false if the line is not understood
bool take(std::string_view text, LossCurve& curve) {
  if (text.size() > kLongestLine) return false;
  const Json line = Json::parse(text, nullptr, false);
  if (!line.is_object() || !line.contains("t") || !line["t"].is_string()) return false;
  const bool train = line["t"] == "train";
  if (!train && line["t"] != "val") return true;
  if (!line.contains("step") || !line["step"].is_number_integer() || !has_number(line, "tokens"))
    return false;
  const LossPoint point{.step = line["step"].get<std::int64_t>(),
                        .tokens = line["tokens"].get<double>(),
                        .loss = has_number(line, "loss") ? line["loss"].get<double>() : NAN};
  std::vector<LossPoint>& points = train ? curve.train : curve.validation;
  while (!points.empty() && points.back().step >= point.step) points.pop_back();
  if (std::isfinite(point.loss) && std::isfinite(point.tokens)) points.push_back(point);
  return true;
}

namespace fs = std::filesystem;

// A nameless file in memory: a child reads or writes it without either waiting for the other.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content = {})
      : descriptor_(memfd_create("tern", MFD_CLOEXEC)) {
    bool good = descriptor_ >= 0;
    for (std::size_t done = 0; good && done < content.size();) {
      const ssize_t n = write(descriptor_, content.data() + done, content.size() - done);
      good = n > 0;
      done += std::size_t(n);
    }
    require(good && lseek(descriptor_, 0, SEEK_SET) == 0, Fault::disk,
            "a temporary file in memory cannot be written: ", system_message(errno));
  }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  int descriptor() const { return descriptor_; }
  std::string content() const {
    std::string text;
    char block[65536];
    for (ssize_t n; (n = pread(descriptor_, block, sizeof block, off_t(text.size()))) > 0;)
      text.append(block, std::size_t(n));
    return text;
  }

 private:
  int descriptor_;
};

// runs/demo, runs/demo/ and runs/demo/metrics.jsonl are all called demo
std::string name_of(const fs::path& run) {
  fs::path path = fs::absolute(run).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  if (path.filename() == "metrics.jsonl") path = path.parent_path();
  return path.filename();
}

std::vector<NamedCurve> read_runs(const std::vector<fs::path>& runs) {
  std::multiset<std::string> names;
  for (const fs::path& run : runs) names.insert(name_of(run));
  std::vector<NamedCurve> curves;
  for (const fs::path& run : runs) {
    const std::string name = name_of(run);
    NamedCurve read{names.count(name) > 1 ? run.string() : name, read_losses(run)};
    if (!read.curve.train.empty() || !read.curve.validation.empty())
      curves.push_back(std::move(read));
  }
  require(!curves.empty(), Fault::input, runs.front().string(),
          ": expected losses of training or validation, got none; has the run begun?");
  return curves;
}

}  // namespace

LossCurve parse_losses(std::string_view metrics) {
  LossCurve curve;
  while (!metrics.empty()) {
    const std::size_t end = std::min(metrics.find('\n'), metrics.size());
    if (end > 0 && !take(metrics.substr(0, end), curve)) ++curve.unreadable;
    metrics.remove_prefix(std::min(end + 1, metrics.size()));
  }
  return curve;
}

LossCurve read_losses(const std::filesystem::path& run) {
  std::error_code error;
  const bool directory = std::filesystem::is_directory(run, error);
  return parse_losses(read_file(directory ? run / "metrics.jsonl" : run, kLongestFile));
}

void plot_runs(const std::vector<fs::path>& runs, const fs::path& out) {
  const std::vector<NamedCurve> curves = read_runs(runs);
  require(has_program("gnuplot"), Fault::usage,
          "gnuplot is not installed: no picture; on Debian: apt-get install gnuplot-nox");
  const MemoryFile script(plot_script(curves)), png, messages;
  Child gnuplot(
      {"gnuplot", "--default-settings", "-"},
      {.in = script.descriptor(), .out = png.descriptor(), .error = messages.descriptor()});
  constexpr double kPatience = 120;  // seconds; it takes a fraction of one
  require(gnuplot.wait(kPatience), Fault::internal, "gnuplot: no answer after ", kPatience, " s");
  const std::string picture = png.content();
  require(gnuplot.exit_code() == 0 && picture.starts_with("\x89PNG"), Fault::internal,
          "gnuplot: exit code ", gnuplot.exit_code(), ": ", messages.content());
  write_file_atomically(out, picture);
}

Picture::Picture(std::filesystem::path run, Warn warn, std::string program)
    : run_(std::move(run)),
      warn_(std::move(warn)),
      program_(std::move(program)),
      possible_(has_program("gnuplot")) {
  if (!possible_) warn_once("gnuplot is not installed (on Debian: apt-get install gnuplot-nox)");
}

void Picture::warn_once(const std::string& why) {
  if (!std::exchange(warned_, true)) warn_("no loss curve is drawn: " + why);
}

bool Picture::idle() {
  if (!child_) return true;
  if (!child_->ended()) return false;
  const int code = child_->exit_code();
  child_.reset();
  // 3: no losses there yet
  if (code != 0 && code != int(Fault::input))
    warn_once("exit code " + std::to_string(code) + "; `tern plot " + run_.string() +
              "` shows the cause");
  return true;
}

void Picture::refresh() {
  if (!possible_ || !idle()) return;
  try {
    child_.emplace(std::vector<std::string>{program_, "plot", "--", run_}, Streams{});
  } catch (const Error& e) {
    warn_once(e.what());
  }
}

void Picture::finish() {
  constexpr double kPatience = 5;
  if (child_) child_->wait(kPatience);
  refresh();
  if (child_) child_->wait(kPatience);
  idle();
}

}  // namespace tern
