#include "apps/train/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "apps/generate/generator.h"
#include "apps/run/quantities.h"
#include "apps/train/trainer.h"
#include "core/dry/dry_backend.h"

namespace tern {
namespace {

Index largest_share(const RunConfig& config, int ranks) {
  const Index sequences = config.batch.tokens / config.batch.context;
  require(sequences >= ranks, Fault::usage, "batch.tokens: a step of ", sequences, " sequences of ",
          config.batch.context, " tokens has fewer sequences than the ", ranks,
          " ranks: raise it or start fewer ranks");
  return (sequences + ranks - 1) / ranks;
}

// everything that allocates during training, once
void rehearse(Trainer& trainer, const RunConfig& config, Index sequences, bool diagnostics) {
  const std::vector<std::int32_t> ids(std::size_t(sequences * config.batch.context), 0);
  StepDiagnostics inside;
  trainer.step({ids, ids}, 0, 0, 0, diagnostics ? &inside : nullptr);
}

void rehearse_sample(Model& model) {
  Generator generator(model, {.temperature = 0});
  generator.read(std::vector<std::int32_t>(64, 0));
  generator.next();
}

void require_fits(const MemoryPlan& plan, std::size_t available, const std::string& advice) {
  require(plan.peak <= available, Fault::memory, "out of memory: this run needs ",
          bytes_text(double(plan.peak)), " with micro_batch = ", plan.micro_batch, " (parameters ",
          bytes_text(double(plan.parameters)), ", gradients ", bytes_text(double(plan.gradients)),
          ", moments ", bytes_text(double(plan.moments)), ", ternary copies ",
          bytes_text(double(plan.ternary)), ", activations ", bytes_text(double(plan.activations)),
          "), available are ", bytes_text(double(available)), ": ", advice);
}

// The largest micro-batch below `too_many` that fits, 0 if none does: more never needs less.
Index largest_that_fits(const RunConfig& config, Index too_many, std::size_t available,
                        const DeviceTraits& device, Share share) {
  Index fits = 0;
  while (too_many - fits > 1) {
    const Index middle = fits + (too_many - fits) / 2;
    (plan_memory(config, middle, device, share).peak <= available ? fits : too_many) = middle;
  }
  return fits;
}

std::string advice(const RunConfig& config, Index largest) {
  const std::string batch =
      largest > 0 ? fmt::format("the largest micro_batch that fits is {}; ", largest)
                  : "no micro_batch fits; use a smaller model, a shorter batch.context, ";
  if (config.recompute == Recompute::full) return batch + "nothing is left to recompute";
  return batch + "memory.recompute = \"cheap\" or \"full\" needs less";
}

}  // namespace

MemoryPlan plan_memory(const RunConfig& config, Index micro_batch, const DeviceTraits& device,
                       Share share) {
  DryBackend dry(device);
  SelfCommunicator others(share.rank, share.size);
  Trainer trainer(dry, config, micro_batch, share.alone() ? nullptr : &others);
  const std::size_t fixed = dry.pool().used();
  largest_share(config, share.size);  // every rank has some
  const Index sequences = even_part(config.batch.tokens / config.batch.context, share).count;
  rehearse(trainer, config, sequences, false);
  const Cost step = dry.total();
  rehearse(trainer, config, std::min(sequences, micro_batch), true);
  const std::vector<std::int32_t> ids(std::size_t(micro_batch * config.batch.context), 0);
  evaluate(trainer.model(), {ids, ids}, config.batch.context);
  if (share.rank == 0) rehearse_sample(trainer.model());
  const ParameterPack& pack = trainer.model().parameters();
  return {.micro_batch = micro_batch,
          .parameters = pack.values().bytes(),
          .gradients = pack.gradients().bytes(),
          .moments = trainer.optimizer().first_moment().bytes() +
                     trainer.optimizer().second_moment().bytes(),
          .ternary = pack.copy_bytes(),
          .activations = dry.pool().high_water() - fixed,
          .peak = dry.pool().high_water(),
          .step = step};
}

MemoryPlan choose_memory_plan(const RunConfig& config, const Device& device, Share share,
                              int on_machine) {
  const DeviceTraits traits = device.facts().traits;
  const std::size_t available =
      device.available_memory() / std::size_t(traits.is_gpu() ? 1 : std::max(1, on_machine));
  const Index sequences = largest_share(config, share.size);
  if (config.batch.micro_batch > 0) {
    const MemoryPlan plan =
        plan_memory(config, std::min(config.batch.micro_batch, sequences), traits, share);
    if (plan.peak > available)
      require_fits(
          plan, available,
          advice(config, largest_that_fits(config, plan.micro_batch, available, traits, share)));
    return plan;
  }
  for (Index n = sequences; n > 1; --n) {
    if (sequences % n) continue;
    const MemoryPlan plan = plan_memory(config, n, traits, share);
    if (plan.peak <= available) return plan;
  }
  const MemoryPlan plan = plan_memory(config, 1, traits, share);
  require_fits(plan, available, advice(config, 0));
  return plan;
}

int largest_rank(const RunConfig& config, Index micro_batch, const DeviceTraits& device,
                 int ranks) {
  int largest = 0;
  std::size_t most = 0;
  for (int r = 0; r < ranks; ++r) {
    const std::size_t peak = plan_memory(config, micro_batch, device, {r, ranks}).peak;
    if (peak > most) most = peak, largest = r;
  }
  return largest;
}

std::string memory_text(const MemoryPlan& plan) {
  const auto row = [](const char* label, std::size_t bytes) {
    return fmt::format("{:<26}{:>20}\n", label, bytes_text(double(bytes)));
  };
  return fmt::format("memory, {} sequences at once\n", plan.micro_batch) +
         row("  parameters", plan.parameters) + row("  gradients", plan.gradients) +
         row("  moments", plan.moments) + row("  ternary copies", plan.ternary) +
         row("  activations", plan.activations) + row("  peak", plan.peak);
}

std::unique_ptr<Backend> make_backend(const Device& device,
                                      const std::function<void(Backend&)>& rehearse) {
  DryBackend dry(device.facts().traits);
  rehearse(dry);
  return device.make_backend(dry.pool().high_water());
}

}  // namespace tern
