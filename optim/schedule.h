// How a factor (of the peak learning rate, of the weight decay) runs over a training run: a list of
// segments, each a closed formula of the step. Steps count from 0; nothing is accumulated.
#pragma once

#include <cstdint>
#include <vector>

namespace tern {

enum class SegmentCurve { constant, linear, cosine, sqrt };

// From the end of the segment before it (from 0) up to, not including, step `end`. With n steps
// from `begin` and u = (step - begin) / n:
//   constant  from (and to must equal it)
//   linear    from + (to - from) u
//   cosine    to + (from - to) (1 + cos(pi u)) / 2
//   sqrt      from + (to - from) sqrt(u)             falls fast first: the "1 - sqrt" cool-down
// u runs over [first, last]: with 0 to 0.5 the segment is the first half of a longer curve, and
// from and to are the ends of that longer curve.
struct ScheduleSegment {
  SegmentCurve curve = SegmentCurve::constant;
  double from = 1;
  double to = 1;
  std::int64_t end = 0;
  double first = 0;
  double last = 1;
};

class Schedule {
 public:
  // Fault::usage, naming the segment: none at all, an end that is not after the one before, a
  // factor that is negative or not finite, a constant with two values, a part of the curve outside
  // [0, 1].
  explicit Schedule(std::vector<ScheduleSegment> segments);

  // the factor at this step, >= 0; from the last segment's end on, the value it ends with
  double at(std::int64_t step) const;
  std::int64_t steps() const { return segments_.back().end; }

 private:
  std::vector<ScheduleSegment> segments_;
};

// The presets. All begin with `warmup` steps at (step + 1) / warmup and reach `floor` (a share of
// the peak) at step `total`, which is the first that is not trained. Fault::usage for lengths that
// do not fit: warmup >= total, a middle outside (warmup, total), a decay longer than what is left.

struct ConstantSchedule {
  std::int64_t total = 0, warmup = 0;
};
Schedule make_schedule(const ConstantSchedule& shape);

// floor + (1 - floor) (1 + cos(pi (step - warmup) / (total - warmup))) / 2
struct CosineSchedule {
  std::int64_t total = 0, warmup = 0;
  double floor = 0;
};
Schedule make_schedule(const CosineSchedule& shape);

// The MatMul-free paper (arXiv 2406.02528, 6.4) halves the rate midway and does not say how that
// joins the cosine. Here: one cosine over the whole run, and from step `middle` on exactly half of
// it, so the rate drops by a factor of two there and ends at floor / 2.
struct CosineHalvedSchedule {
  std::int64_t total = 0, warmup = 0;
  double floor = 0;
  std::int64_t middle = 0;
};
Schedule make_schedule(const CosineHalvedSchedule& shape);

// Two straight legs, as for BitNet b1.58: 1 to first_stage_end before step `middle`, then
// second_stage_start to floor.
struct TwoStageSchedule {
  std::int64_t total = 0, warmup = 0;
  double floor = 0;
  std::int64_t middle = 0;
  double first_stage_end = 0, second_stage_start = 0;
};
Schedule make_schedule(const TwoStageSchedule& shape);

// Warm-up, stable at the peak, and in the last `decay` steps down to floor along `curve`.
struct WsdSchedule {
  std::int64_t total = 0, warmup = 0;
  double floor = 0;
  std::int64_t decay = 0;
  SegmentCurve curve = SegmentCurve::sqrt;
};
Schedule make_schedule(const WsdSchedule& shape);

}  // namespace tern
