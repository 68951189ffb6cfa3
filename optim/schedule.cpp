#include "optim/schedule.h"

#include <cmath>
#include <numbers>
#include <utility>

#include "core/check.h"

namespace tern {

namespace {

bool is_factor(double x) {
  return std::isfinite(x) && x >= 0;
}

void require_sound(const ScheduleSegment& s, std::size_t index, std::int64_t begin) {
  const auto expect = [&](bool holds, const auto&... parts) {
    require(holds, Fault::usage, "[schedule] segment ", index, ": ", parts...);
  };
  expect(s.end > begin, "expected an end after step ", begin, ", got ", s.end);
  expect(is_factor(s.from), "expected a finite start >= 0, got ", s.from);
  expect(is_factor(s.to), "expected a finite end value >= 0, got ", s.to);
  expect(s.curve != SegmentCurve::constant || s.from == s.to, "a constant has one value, got ",
         s.from, " and ", s.to);
  expect(0 <= s.first && s.first <= s.last && s.last <= 1,
         "expected a part of the curve within 0 to 1, got ", s.first, " to ", s.last);
}

double value(const ScheduleSegment& s, double u) {
  switch (s.curve) {
    case SegmentCurve::constant:
      return s.from;
    case SegmentCurve::linear:
      return s.from + (s.to - s.from) * u;
    case SegmentCurve::cosine:
      return s.to + (s.from - s.to) * (1 + std::cos(std::numbers::pi * u)) / 2;
    case SegmentCurve::sqrt:
      return s.from + (s.to - s.from) * std::sqrt(u);
  }
  fail(Fault::internal, "[schedule] unknown curve ", int(s.curve));
}

// (step + 1) / warmup: the line from 1 / warmup to 1 ends one step early, the last step is at 1.
std::vector<ScheduleSegment> warm_up(std::int64_t warmup, std::int64_t total) {
  require(total > 0, Fault::usage, "[schedule] expected at least one step, got ", total);
  require(0 <= warmup && warmup < total, Fault::usage,
          "[schedule] expected a warm-up shorter than the run of ", total, " steps, got ", warmup);
  std::vector<ScheduleSegment> segments;
  if (warmup > 1) segments.push_back({SegmentCurve::linear, 1 / double(warmup), 1, warmup - 1});
  if (warmup > 0) segments.push_back({SegmentCurve::constant, 1, 1, warmup});
  return segments;
}

void require_middle(std::int64_t warmup, std::int64_t middle, std::int64_t total) {
  require(warmup < middle && middle < total, Fault::usage,
          "[schedule] expected a middle between the warm-up's end (step ", warmup,
          ") and the run's (step ", total, "), got ", middle);
}

}  // namespace

Schedule::Schedule(std::vector<ScheduleSegment> segments) : segments_(std::move(segments)) {
  require(!segments_.empty(), Fault::usage, "[schedule] expected at least one segment, got none");
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    require_sound(segments_[i], i, begin);
    begin = segments_[i].end;
  }
}

double Schedule::at(std::int64_t step) const {
  check(step >= 0, "[schedule] step: expected >= 0, got ", step);
  std::int64_t begin = 0;
  for (const ScheduleSegment& s : segments_) {
    if (step < s.end) {
      const double share = double(step - begin) / double(s.end - begin);
      return value(s, s.first + (s.last - s.first) * share);
    }
    begin = s.end;
  }
  return value(segments_.back(), segments_.back().last);
}

Schedule make_schedule(const ConstantSchedule& shape) {
  std::vector<ScheduleSegment> segments = warm_up(shape.warmup, shape.total);
  segments.push_back({SegmentCurve::constant, 1, 1, shape.total});
  return Schedule(std::move(segments));
}

Schedule make_schedule(const CosineSchedule& shape) {
  std::vector<ScheduleSegment> segments = warm_up(shape.warmup, shape.total);
  segments.push_back({SegmentCurve::cosine, 1, shape.floor, shape.total});
  return Schedule(std::move(segments));
}

Schedule make_schedule(const CosineHalvedSchedule& shape) {
  std::vector<ScheduleSegment> segments = warm_up(shape.warmup, shape.total);
  require_middle(shape.warmup, shape.middle, shape.total);
  const double share = double(shape.middle - shape.warmup) / double(shape.total - shape.warmup);
  segments.push_back({SegmentCurve::cosine, 1, shape.floor, shape.middle, 0, share});
  segments.push_back({SegmentCurve::cosine, 0.5, shape.floor / 2, shape.total, share, 1});
  return Schedule(std::move(segments));
}

Schedule make_schedule(const TwoStageSchedule& shape) {
  std::vector<ScheduleSegment> segments = warm_up(shape.warmup, shape.total);
  require_middle(shape.warmup, shape.middle, shape.total);
  segments.push_back({SegmentCurve::linear, 1, shape.first_stage_end, shape.middle});
  segments.push_back({SegmentCurve::linear, shape.second_stage_start, shape.floor, shape.total});
  return Schedule(std::move(segments));
}

Schedule make_schedule(const WsdSchedule& shape) {
  std::vector<ScheduleSegment> segments = warm_up(shape.warmup, shape.total);
  const std::int64_t left = shape.total - shape.warmup;
  require(0 < shape.decay && shape.decay <= left, Fault::usage,
          "[schedule] expected a decay of 1 to ", left, " steps (what the warm-up leaves), got ",
          shape.decay);
  require(shape.curve != SegmentCurve::constant, Fault::usage,
          "[schedule] expected a decay curve linear, cosine or sqrt, got constant");
  if (shape.decay < left)
    segments.push_back({SegmentCurve::constant, 1, 1, shape.total - shape.decay});
  segments.push_back({shape.curve, 1, shape.floor, shape.total});
  return Schedule(std::move(segments));
}

}  // namespace tern
