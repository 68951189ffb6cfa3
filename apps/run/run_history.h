// A run read back from its directory: what run_record.h writes, as the same reports. Lines that are
// not understood, left by a crash, an editor or a newer release, are counted and skipped.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include "apps/console/reports.h"
#include "runtime/run_config.h"

namespace tern {

template <class Report>
struct Recorded {
  Report report{};
  double time = kUnknown;     // Unix, in seconds
  double seconds = kUnknown;  // of training until then, without the pauses before it was resumed
};
template <class Report>
using Records = std::vector<Recorded<Report>>;

// Each list by step: after a rewind the lines of the second attempt replace those of the first.
struct RunHistory {
  Records<StepReport> steps{};
  Records<ValidationReport> validations{};
  Records<DiagnosticsReport> diagnostics{};
  Records<SampleReport> samples{};  // several of a step
  Records<CheckpointReport> checkpoints{};
  Records<EventReport> events{};  // all, in their order
  std::int64_t unreadable = 0;    // lines

  double seconds() const;            // of the last line; kUnknown before the first
  double tokens_per_second() const;  // median of the lines; kUnknown without one
};

// of metrics.jsonl's text
RunHistory parse_history(std::string_view metrics);
// of a run directory or of a metrics file; Fault::input when there is none
RunHistory read_history(const std::filesystem::path& run);

enum class RunState { running, finished, stopped, failed, diverged, unknown };
const char* name_of(RunState state);

// A run directory as a whole.
struct SavedRun {
  std::string name{};  // of its folder
  std::filesystem::path path{};
  RunHistory history{};
  std::optional<RunConfig> config{};  // nothing: none there, or this build cannot read it
  std::string config_problem{};       // then: why
  std::string environment{};          // env.json; "" if there is none
  RunState state = RunState::unknown;

  // the last line's steps and tokens; 0 before the first
  std::int64_t step() const;
  std::int64_t tokens() const;
  // 6 FLOP for each weight of a product and token, and attention's; kUnknown without a config
  double flop_per_token() const;
};

// Of a run that began with another run's checkpoint, seconds count from that run's first step.
// Fault::input: no such directory, or nothing of a run in it
SavedRun read_run(const std::filesystem::path& run);

// runs/demo, runs/demo/ and runs/demo/metrics.jsonl are all called demo
std::string name_of_run(const std::filesystem::path& run);

// The runs that these paths name: each that is a run's directory or a metrics file, else every
// run's directory below it, by name; without repeats. Fault::input: a path that has none.
std::vector<std::filesystem::path> find_runs(const std::vector<std::filesystem::path>& paths);

}  // namespace tern
