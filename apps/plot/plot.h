// Loss curves of runs: read back from metrics.jsonl, drawn as a PNG by gnuplot, and kept up to date
// while a run trains.
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

#include "apps/system/child.h"

namespace tern {

// The losses of a run.
struct LossPoint {
  std::int64_t step = 0;
  double tokens = 0, loss = 0;
  double seconds = NAN;  // Recorded::seconds
};

struct LossCurve {
  std::vector<LossPoint> train{}, validation{};  // by step; finite losses only
  std::int64_t unreadable = 0;                   // lines
};

// of metrics.jsonl's text; see run_history.h
LossCurve parse_losses(std::string_view metrics);

// of a run directory or of a metrics file; Fault::input when there is none
LossCurve read_losses(const std::filesystem::path& run);

// The mean over neighbours on both sides, without the lag of a running average.
std::vector<LossPoint> smoothed(const std::vector<LossPoint>& points);

struct NamedCurve {
  std::string name{};
  LossCurve curve{};
};

enum class PlotAxis { tokens, seconds };
inline constexpr PlotAxis kOverTokens[] = {PlotAxis::tokens};

// Draws the runs (directories or metrics files) into out, which is replaced as a whole. One run:
// training loss, raw and smoothed, and validation loss. Several: one colour each. Over each of the
// axes, side by side.
// Fault::input: no metrics, or no losses in any; Fault::usage: gnuplot is missing; Fault::disk.
void plot_runs(const std::vector<std::filesystem::path>& runs, const std::filesystem::path& out,
               std::span<const PlotAxis> axes = kOverTokens);

// gnuplot's input; it writes the PNG to its standard output
std::string plot_script(std::span<const NamedCurve> curves,
                        std::span<const PlotAxis> axes = kOverTokens);

// Keeps the loss curve of a running training up to date without delaying it: `tern plot RUN` runs
// as a child process, at most one at a time.
class Picture {
 public:
  using Warn = std::function<void(const std::string&)>;

  // program: path of tern. warn gets one line if, and only once, a picture cannot be drawn.
  Picture(std::filesystem::path run, Warn warn, std::string program = "/proc/self/exe");

  void refresh();  // returns at once; does nothing while the last picture is being drawn
  void finish();   // draws the final one and waits for it, ten seconds at most

 private:
  bool idle();  // reaps a child that has ended
  void warn_once(const std::string& why);

  std::filesystem::path run_;
  Warn warn_;
  std::string program_;
  std::optional<Child> child_{};
  bool possible_, warned_ = false;
};

}  // namespace tern
