// Schedules as a configuration writes them: presets with lengths in steps or percent of the run.
#pragma once

#include <cstdint>
#include <vector>

#include "optim/schedule.h"

namespace tern {

// A length of training: a number of steps, or a percentage of the run, rounded to whole steps.
struct Span {
  double amount = 0;
  bool percent = false;
  std::int64_t steps(std::int64_t total) const;
  bool operator==(const Span&) const = default;
};

enum class SchedulePreset { constant, cosine, cosine_halved, two_stage, wsd, segments };

// One segment as a file writes it; `until` counts from the start of the run.
struct SegmentEntry {
  SegmentCurve curve = SegmentCurve::constant;
  double from = 1;
  double to = 1;
  Span until{100, true};
};

struct ScheduleSection {
  SchedulePreset preset = SchedulePreset::cosine;
  Span warmup{2, true};
  double floor = 0.1;
  Span middle{50, true};
  double first_stage_end = 8.0 / 15;
  double second_stage_start = 1.0 / 3;
  Span decay{20, true};
  SegmentCurve decay_curve = SegmentCurve::sqrt;
  std::vector<SegmentEntry> segments;
};

enum class DecayPreset { constant, off_midway, segments };

struct DecayScheduleSection {
  DecayPreset preset = DecayPreset::constant;
  Span middle{50, true};
  std::vector<SegmentEntry> segments;
};

// the segments over a run of `total` steps; Fault::usage when the lengths do not fit
Schedule make_schedule(const ScheduleSection& section, std::int64_t total);
Schedule make_schedule(const DecayScheduleSection& section, std::int64_t total);

}  // namespace tern
