// The records of a run: metrics.jsonl, and RunRecord, through which all that a training loop says
// goes once and reaches the console, train.log, metrics.jsonl, samples/ and loss.png.
#pragma once

#include "apps/console/console.h"
#include "apps/console/reports.h"
#include "apps/plot/plot.h"
#include "apps/run/run_directory.h"
#include "apps/run/tensorboard.h"
#include "apps/system/line_file.h"

namespace tern {

// metrics.jsonl: one JSON object a line, {"v":1,"t":TYPE,"step":...}, for programs to read. A
// number that is not finite is null, and the line then says "nonfinite":true; unknown numbers are
// left out.
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

// Nothing here stops a run: a failed write is a warning.
class RunRecord {
 public:
  // Both must outlive it; tensorboard: also writes event files; program: the path of tern.
  // Fault::disk when metrics.jsonl cannot be opened.
  RunRecord(const RunDirectory& directory, Console& console, bool tensorboard = false,
            std::string program = "/proc/self/exe");

  // after every step; recorded: of a log interval, so a permanent line and a line of metrics
  void step(const StepReport& report, bool recorded);
  void add(const ValidationReport& report);  // and draws loss.png in the background
  void add(const SampleReport& report);      // and writes samples/step-N.txt: all of a step
  void add(const CheckpointReport& report);
  void add(const EventReport& report);
  void note(const EventReport& report);  // to metrics.jsonl alone: the summary says it to people
  void add(const DiagnosticsReport& report);
  void finish(const RunSummary& report);  // and waits for the last loss.png

 private:
  template <class Report>
  void show(const Report& report);  // on the board

  const RunDirectory& directory_;
  Console& console_;
  Metrics metrics_;
  Picture picture_;
  bool tensorboard_;  // wanted, and possible so far
  std::unique_ptr<TensorBoard> board_{};
  std::string samples_{};     // of one step so far
  bool sample_lost_ = false;  // one warning is enough
};

}  // namespace tern
