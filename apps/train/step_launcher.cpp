#include "apps/train/step_launcher.h"

#include "core/clock.h"

namespace tern {
namespace {

// In the last parameter, which all ranks hold: a bit that changes it by a hundredth or so.
void flip_bit(const ParameterPack& pack) {
  const Tensor first = pack.parameters().back()->value.slice(0, 1);
  std::vector<std::byte> bytes(first.bytes());
  first.backend().download(bytes.data(), first);
  bytes[bytes.size() - 2] ^= std::byte(1);
  first.backend().upload(first, bytes.data());
}

}  // namespace

StepLauncher::StepLauncher(OpenedRun& opened, Trainer& trainer)
    : opened_(opened),
      trainer_(trainer),
      rate_(learning_rate_schedule(opened.config)),
      decay_(weight_decay_schedule(opened.config)) {}

void StepLauncher::inject_faults(std::int64_t step, Batch& batch) {
  const FaultInjection& injection = opened_.injection;
  injection.apply(opened_.info.rank, step, batch.inputs);
  if (injection.flips(opened_.info.rank, step)) flip_bit(trainer_.pack());
}

// Each rank computes consecutive whole sequences of the one global batch, as many as every other
// rank or one more.
BatchView StepLauncher::own_share(const Batch& batch) {
  const Range own = even_part(Index(batch.samples.size()), {opened_.info.rank, opened_.info.size});
  return batch.rows(std::size_t(own.first), std::size_t(own.count));
}

LaunchedStep StepLauncher::launch(TrainingState& state) {
  const RunConfig& config = opened_.config;
  const FaultInjection& injection = opened_.injection;
  const int rank = opened_.info.rank;
  ControlPlane& control = opened_.control();
  Backend& on = trainer_.model().backend();
  const std::int64_t step = state.step + 1;
  std::unique_ptr<Timestamp> device_begin = on.timestamp();
  const double begin = monotonic_seconds();
  Batch batch = opened_.data.next();
  inject_faults(step, batch);
  const double data_seconds = monotonic_seconds() - begin;
  const double waited = control.seconds_waited();
  const DeviceWork work(control, on.pool());
  if (injection.hangs(rank, step)) on.hang();
  StepDiagnostics inside;
  const std::int64_t every = config.logging.diagnostics_interval;
  const bool diagnose = every > 0 && step % every == 0;
  const double learning_rate = config.optimizer.lr * rate_.at(state.step);
  PendingUpdate update = trainer_.step(
      own_share(batch), loss_weight(batch.targets) * injection.factor(rank, step), learning_rate,
      config.optimizer.weight_decay * decay_.at(state.step), diagnose ? &inside : nullptr);
  const double busy = monotonic_seconds() - begin - (control.seconds_waited() - waited);
  state.step = step;
  state.validation_loss = kUnknown;
  state.position = std::int64_t(batch.next_sample());
  return {.update = std::move(update),
          .step = step,
          .first_sample = std::int64_t(batch.first_sample),
          .next_sample = std::int64_t(batch.next_sample()),
          .learning_rate = learning_rate,
          .diagnostics = std::move(inside),
          .begin = std::move(device_begin),
          .end = on.timestamp(),
          .data_seconds = data_seconds,
          .busy_seconds = busy};
}

}  // namespace tern
