// All that a training loop says goes through here once and reaches the console, train.log,
// metrics.jsonl, samples/ and loss.png. Nothing here stops a run: a failed write is a
// warning.
#pragma once

#include <string>

#include "apps/console/console.h"
#include "apps/console/reports.h"
#include "apps/plot/plot.h"
#include "apps/run/metrics.h"
#include "apps/run/run_directory.h"

namespace tern {

class RunRecord {
 public:
  // Both must outlive it; program: the path of tern. Fault::disk when metrics.jsonl cannot be
  // opened.
  RunRecord(const RunDirectory& directory, Console& console,
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
  const RunDirectory& directory_;
  Console& console_;
  Metrics metrics_;
  Picture picture_;
  std::string samples_{};     // of one step so far
  bool sample_lost_ = false;  // one warning is enough
};

}  // namespace tern
