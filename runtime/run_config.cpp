#include "runtime/run_config.h"

#include <cmath>
#include <utility>

#include "core/check.h"

namespace tern {
namespace {

Schedule from_entries(const std::vector<SegmentEntry>& entries, std::int64_t total) {
  std::vector<ScheduleSegment> segments;
  for (const SegmentEntry& e : entries)
    segments.push_back({.curve = e.curve, .from = e.from, .to = e.to, .end = e.until.steps(total)});
  Schedule schedule(std::move(segments));
  require(schedule.steps() == total, Fault::usage,
          "[schedule] expected the last segment to end with the run (step ", total, "), got step ",
          schedule.steps());
  return schedule;
}

}  // namespace

std::int64_t Span::steps(std::int64_t total) const {
  return std::llround(percent ? amount / 100 * double(total) : amount);
}

Schedule make_schedule(const ScheduleSection& s, std::int64_t total) {
  const std::int64_t warmup = s.warmup.steps(total), middle = s.middle.steps(total);
  switch (s.preset) {
    case SchedulePreset::constant:
      return make_schedule(ConstantSchedule{.total = total, .warmup = warmup});
    case SchedulePreset::cosine:
      return make_schedule(CosineSchedule{.total = total, .warmup = warmup, .floor = s.floor});
    case SchedulePreset::cosine_halved:
      return make_schedule(CosineHalvedSchedule{
          .total = total, .warmup = warmup, .floor = s.floor, .middle = middle});
    case SchedulePreset::two_stage:
      return make_schedule(TwoStageSchedule{.total = total,
                                            .warmup = warmup,
                                            .floor = s.floor,
                                            .middle = middle,
                                            .first_stage_end = s.first_stage_end,
                                            .second_stage_start = s.second_stage_start});
    case SchedulePreset::wsd:
      return make_schedule(WsdSchedule{.total = total,
                                       .warmup = warmup,
                                       .floor = s.floor,
                                       .decay = s.decay.steps(total),
                                       .curve = s.decay_curve});
    case SchedulePreset::segments:
      return from_entries(s.segments, total);
  }
  fail(Fault::internal, "[schedule] unknown preset ", int(s.preset));
}

Schedule make_schedule(const DecayScheduleSection& s, std::int64_t total) {
  switch (s.preset) {
    case DecayPreset::constant:
      return make_schedule(ConstantSchedule{.total = total});
    case DecayPreset::off_midway:
      return Schedule({{SegmentCurve::constant, 1, 1, s.middle.steps(total)},
                       {SegmentCurve::constant, 0, 0, total}});
    case DecayPreset::segments:
      return from_entries(s.segments, total);
  }
  fail(Fault::internal, "[weight_decay_schedule] unknown preset ", int(s.preset));
}

std::int64_t sample_positions(const RunConfig& config) {
  std::size_t longest = 0;
  for (const std::string& prompt : config.logging.sample_prompts)
    longest = std::max(longest, prompt.size());
  return std::int64_t(longest) + 2 + config.logging.sample_tokens;
}

std::int64_t total_steps(const RunConfig& config) {
  const std::int64_t batch = config.batch.tokens;
  return config.run.steps > 0 ? config.run.steps : (config.run.tokens + batch - 1) / batch;
}

std::int64_t decay_begin(const RunConfig& config) {
  const std::int64_t total = total_steps(config);
  return total - config.schedule.decay.steps(total);
}

Schedule learning_rate_schedule(const RunConfig& config) {
  return make_schedule(config.schedule, total_steps(config));
}

Schedule weight_decay_schedule(const RunConfig& config) {
  return make_schedule(config.weight_decay_schedule, total_steps(config));
}

StateBytes state_bytes(const RunConfig& config) {
  const std::int64_t n = count_parameters(config.model).total();
  const std::int64_t real = config.dtype == Precision::f64 ? 8 : 4;
  return {.parameters = n * real,
          .gradients = n * (config.optimizer.gradients == Stored::bf16 ? 2 : real),
          .moments = 2 * n * (config.optimizer.moments == Stored::bf16 ? 2 : real)};
}

}  // namespace tern
