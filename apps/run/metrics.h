// metrics.jsonl: one JSON object a line, {"v":1,"t":TYPE,"step":...}, for programs to read. A
// number that is not finite is null, and the line then says "nonfinite":true; unknown numbers are
// left out.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "apps/console/reports.h"
#include "apps/system/line_file.h"

namespace tern {

inline constexpr int kMetricsVersion = 1;

class Metrics {
 public:
  // Opens or creates it; Fault::disk. warn gets one line if, and only once, lines are being lost.
  Metrics(const std::filesystem::path& path, std::function<void(const std::string&)> warn);

  void write(const StepReport&);         // "train"
  void write(const ValidationReport&);   // "val"
  void write(const SampleReport&);       // "sample"
  void write(const CheckpointReport&);   // "ckpt"
  void write(const EventReport&);        // "event"
  void write(const DiagnosticsReport&);  // "diagnostics"

  std::int64_t lost() const { return lost_; }  // lines since the disk last took one

 private:
  void append(const std::string& line);

  LineFile file_;
  std::function<void(const std::string&)> warn_;
  std::int64_t lost_ = 0;
  bool warned_ = false;
};

// Call before Metrics opens the file of a run that continues from a checkpoint: removes lines of
// later steps and lines that are not ours, atomically. Nothing happens if there is no such file.
// Fault::disk.
void drop_metrics_after(const std::filesystem::path& path, std::int64_t step);

}  // namespace tern
