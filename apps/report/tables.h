// The parts of a report that are text: tables, samples, configurations, environments.
#pragma once

#include <span>
#include <string>

#include "apps/run/run_history.h"

namespace tern {

// One row for each run, and notes about what is missing.
std::string runs_table(std::span<const SavedRun> runs);

// What a reader should know has happened: skipped updates, rewinds, failures, resumes.
std::string events_html(std::span<const SavedRun> runs);

// For each run the samples of its last step, and the earlier ones folded.
std::string samples_html(std::span<const SavedRun> runs);

// The keys whose values differ between runs, paths and run.name left out, and each whole file.
std::string configs_html(std::span<const SavedRun> runs);

// From env.json.
std::string environments_html(std::span<const SavedRun> runs);

// A part of the page about one run, that folds away and that the script hides with the run.
std::string folded(std::size_t run, const std::string& name, bool open, const std::string& content);

}  // namespace tern
