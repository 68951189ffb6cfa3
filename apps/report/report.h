// Runs as one HTML page that needs no other file, no network and, to show its charts, no script.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "apps/run/run_history.h"

namespace tern {

// The page about the runs that these paths name (find_runs); `out` is replaced as a whole. title:
// "" for the name of the run, or the number of runs. Fault::input: no runs; Fault::disk.
void write_report(const std::vector<std::filesystem::path>& paths, const std::filesystem::path& out,
                  const std::string& title = "");

// The page as text; one run at least. The runs' names tell them apart.
std::string report_html(std::span<const SavedRun> runs, const std::string& title);

}  // namespace tern
