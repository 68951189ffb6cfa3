// The charts of a report, from runs that were read back.
#pragma once

#include "apps/report/chart.h"
#include "apps/run/run_history.h"

namespace tern {

// Under one heading of the page.
struct ChartGroup {
  std::string title{};
  std::vector<Chart> charts{};
  std::string missing{};  // what the page says if there are none
};

RunClock clock_of(const SavedRun& run);

// Loss, validation by source, optimizer, speed and GPU. Charts without values are left out.
std::vector<ChartGroup> chart_groups(std::span<const SavedRun> runs);

// Those that a reader should see: skipped updates, rewinds, failures, resumes.
std::vector<Recorded<EventReport>> notable_events(const SavedRun& run);

}  // namespace tern
