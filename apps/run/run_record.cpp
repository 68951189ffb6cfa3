#include "apps/run/run_record.h"

#include <utility>

#include "core/check.h"
#include "data/io/files.h"

namespace tern {

RunRecord::RunRecord(const RunDirectory& directory, Console& console, std::string program)
    : directory_(directory),
      console_(console),
      metrics_(directory.metrics(), [this](const std::string& text) { console_.warn(text); }),
      picture_(
          directory.path(), [this](const std::string& text) { console_.warn(text); },
          std::move(program)) {}

void RunRecord::step(const StepReport& report, bool recorded) {
  if (recorded) {
    console_.report(report);
    metrics_.write(report);
  }
  console_.live(report);
}

void RunRecord::add(const ValidationReport& report) {
  console_.report(report);
  metrics_.write(report);
  picture_.refresh();
}

void RunRecord::add(const SampleReport& report) {
  console_.report(report);
  metrics_.write(report);
  if (report.index == 0)
    samples_.clear();
  else
    samples_ += "\n" + std::string(40, '-') + "\n\n";
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
