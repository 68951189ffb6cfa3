#include "apps/train/validation.h"

#include <cmath>

namespace tern {

Validation::Validation(OpenedRun& opened, TrainingReports& reports, StepAgreement& agreement,
                       Trainer& trainer)
    : opened_(opened), reports_(reports), agreement_(agreement), trainer_(trainer) {}

// All ranks read the same batches and evaluate them in turn.
bool Validation::add_set(const ValidationSet& set, std::int64_t step, LossSum& sum) {
  ControlPlane& control = opened_.control();
  SequentialPass pass = opened_.data.pass(set, opened_.memory.micro_batch);
  double begin = monotonic_seconds();
  for (int turn = 0; const auto batch = pass.next(); ++turn) {
    if (turn % control.size() == 0) {
      if (turn > 0) longest_round_ = std::max(longest_round_, monotonic_seconds() - begin);
      if (agreement_.stop_wanted(step, longest_round_)) return false;
      begin = monotonic_seconds();
    }
    if (turn % control.size() != control.rank()) continue;
    sum += evaluate(trainer_.model(), *batch, opened_.config.batch.context);
    sum.bytes += set.bytes->of(*batch);
  }
  const LossSum own = std::exchange(sum, {});
  for (const LossSum& part : control.all_gather_value(own)) sum += part;
  return true;
}

void Validation::run(TrainingState& state) {
  const Pause pause(reports_.pace());
  reports_.live("validating");
  const double begin = monotonic_seconds();
  ValidationReport report{.step = state.step, .tokens = opened_.tokens(state.step)};
  double loss = 0, bytes = 0;
  std::int64_t targets = 0;
  for (const ValidationSet& set : opened_.data.validation()) {
    LossSum sum;
    if (!add_set(set, state.step, sum))
      return reports_.event(state.step, "validation_stopped", "the run stops: there is no result");
    report.sources.emplace_back(set.name, sum.loss / double(sum.targets));
    loss += sum.loss;
    targets += sum.targets;
    bytes += double(sum.bytes);
  }
  if (targets == 0) return;  // no source has a validation part
  report.loss = loss / double(targets);
  report.bits_per_byte = bytes > 0 ? loss / std::log(2.0) / bytes : kUnknown;
  report.seconds = monotonic_seconds() - begin;
  longest_ = std::max(longest_, report.seconds);
  if (std::isfinite(report.loss)) state.validation_loss = report.loss;
  report.best = std::isfinite(report.loss) && !(state.best_loss <= report.loss);
  if (report.best) {
    state.best_loss = report.loss;
    state.best_step = state.step;
  }
  if (report.sources.size() == 1) report.sources.clear();
  reports_.add(report);
}

}  // namespace tern
