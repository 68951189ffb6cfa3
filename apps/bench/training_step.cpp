#include "apps/bench/training_step.h"

#include "core/dry/dry_backend.h"
#include "core/host.h"
#include "core/rng.h"

namespace tern {
namespace {

constexpr double kRate = 1e-3, kDecay = 0.1;
constexpr std::uint64_t kSeed = 1;

std::vector<std::int32_t> random_tokens(const TrainingSize& size, const char* stream) {
  const Rng rng(kSeed, stream_of(stream));
  std::vector<std::int32_t> ids(std::size_t(size.tokens()));
  for (std::size_t i = 0; i < ids.size(); ++i)
    ids[i] = std::int32_t(rng.uniform(i) * double(size.vocab));
  return ids;
}

}  // namespace

TrainingStep::TrainingStep(Backend& backend, const TrainingSize& size)
    : backend_(backend),
      size_(size),
      model_(backend, size.model(), size.options),
      optimizer_(model_.parameters(), size.optimizer),
      ids_(random_tokens(size, "ids")),
      targets_(random_tokens(size, "targets")) {}

UpdateReport TrainingStep::run() {
  const Shape shape{size_.batch, size_.context};
  optimizer_.begin_step(kRate, kDecay);
  {
    const Tensor weight(backend_, {1}, model_.dtype());
    upload_real(weight, {1.0 / double(size_.tokens())});
    Tape tape;
    const Var loss = model_
                         .loss({.tape = &tape}, upload_ids(backend_, shape, ids_),
                               upload_ids(backend_, shape, targets_), weight)
                         .loss;
    optimizer_.add_loss(loss.value);
    tape.backward(loss);
  }
  return optimizer_.step();
}

std::size_t training_bytes(const TrainingSize& size, const DeviceTraits& device) {
  DryBackend dry(device);
  TrainingStep(dry, size).run();
  return dry.pool().high_water();
}

}  // namespace tern
