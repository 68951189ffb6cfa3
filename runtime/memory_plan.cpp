#include "runtime/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/dry/dry_backend.h"
#include "data/checkpoint/writer.h"
#include "runtime/checkpoints.h"
#include "runtime/generator.h"
#include "runtime/quantities.h"
#include "runtime/trainer.h"

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

void rehearse_sample(Model& model, const RunConfig& config) {
  Generator(model, {}, sample_positions(config)).rehearse();
}

void require_fits(const MemoryPlan& plan, std::size_t available, const std::string& advice) {
  require(plan.peak <= available, Fault::memory, "out of memory: the run needs ",
          bytes_text(double(plan.peak)), " with micro_batch = ", plan.micro_batch, " (parameters ",
          bytes_text(double(plan.parameters)), ", gradients ", bytes_text(double(plan.gradients)),
          ", moments ", bytes_text(double(plan.moments)), ", copies for products ",
          bytes_text(double(plan.copies)), ", activations ", bytes_text(double(plan.activations)),
          "), but only ", bytes_text(double(available)), " are available: ", advice);
}

std::string advice(const RunConfig& config, Index largest) {
  const std::string batch =
      largest > 0 ? fmt::format("the largest micro_batch that fits is {}", largest)
                  : "no micro_batch fits: use a smaller model or a shorter batch.context";
  switch (config.recompute) {
    case Recompute::none:
      return batch + "; memory.recompute = \"norms\", \"cheap\" or \"full\" needs less";
    case Recompute::norms:
      return batch + "; memory.recompute = \"cheap\" or \"full\" needs less";
    case Recompute::cheap:
      return batch + "; memory.recompute = \"full\" needs less";
    case Recompute::full:
      break;
  }
  return batch;
}

// What needs no rehearsal, which would itself take memory: the state of this rank alone does not
// fit.
void require_state_fits(const RunConfig& config, std::size_t available, Shard shard) {
  const StateBytes state = state_bytes(config);
  const double owners = config.parallel.zero ? shard.size : 1;
  const double bytes = double(state.parameters + state.moments) / owners + double(state.gradients);
  require(bytes <= double(available), Fault::memory, "out of memory: the run needs more than ",
          bytes_text(bytes), " for parameters, gradients and moments, but only ",
          bytes_text(double(available)),
          " are available: no micro_batch fits: use a smaller model");
}

// A run on one of several ranks, planned for micro-batches of any size.
class Planner {
 public:
  Planner(const RunConfig& config, const DeviceTraits& device, Shard shard)
      : config_(config), device_(device), shard_(shard) {}

  MemoryPlan plan(Index micro_batch) const {
    return plan_memory(config_, micro_batch, device_, shard_);
  }
  // The largest micro-batch up to `most` that takes at most `available` bytes, with the copy for a
  // checkpoint if so asked; 0 if none does: more never needs less.
  Index largest_that_fits(Index most, std::size_t available, bool with_snapshot) const {
    const auto bytes = [&](Index n) {
      const MemoryPlan p = plan(n);
      return p.peak + (with_snapshot ? p.snapshot : 0);
    };
    if (bytes(most) <= available) return most;
    Index fits = 0, too_many = most;
    while (too_many - fits > 1) {
      const Index middle = fits + (too_many - fits) / 2;
      (bytes(middle) <= available ? fits : too_many) = middle;
    }
    return fits;
  }

 private:
  const RunConfig& config_;
  const DeviceTraits& device_;
  Shard shard_;
};

// A micro-batch of at most `most` of so many sequences: the last one may be smaller, but not by
// much.
Index even_micro_batch(Index sequences, Index most) {
  for (Index n = most; 2 * n >= most; --n)
    if (sequences % n == 0) return n;
  const Index parts = (sequences + most - 1) / most;
  return (sequences + parts - 1) / parts;
}

// What this rank saves, without the tokenizer, which is in memory all along.
std::size_t saved_bytes(Trainer& trainer, const RunConfig& config, Shard shard) {
  if (shard.rank > 0 && config.parallel.zero == 0) return 0;
  return snapshot_bytes(checkpoint_tensors(trainer, {}));
}

}  // namespace

MemoryPlan plan_memory(const RunConfig& config, Index micro_batch, const DeviceTraits& device,
                       Shard shard) {
  constexpr std::int64_t kMost = std::int64_t(1) << 42;  // tables grow with them
  const std::int64_t parameters = count_parameters(config.model).total();
  require(parameters <= kMost, Fault::memory, "too large to be planned: expected at most ", kMost,
          " parameters, got ", parameters);
  DryBackend dry(device);
  SelfCommunicator others(shard.rank, shard.size);
  Trainer trainer(dry, config, micro_batch, shard.alone() ? nullptr : &others);
  const std::size_t fixed = dry.pool().used();
  largest_share(config, shard.size);  // every rank has some
  const Index sequences = even_part(config.batch.tokens / config.batch.context, shard).count;
  rehearse(trainer, config, sequences, false);
  const Cost step = dry.total();
  rehearse(trainer, config, std::min(sequences, micro_batch), true);
  const std::vector<std::int32_t> ids(std::size_t(micro_batch * config.batch.context), 0);
  evaluate(trainer.model(), {ids, ids}, config.batch.context);
  if (shard.rank == 0) rehearse_sample(trainer.model(), config);
  const ParameterPack& pack = trainer.pack();
  return {.micro_batch = micro_batch,
          .parameters = pack.values().bytes(),
          .gradients = pack.gradients().bytes(),
          .moments = trainer.optimizer().first_moment().bytes() +
                     trainer.optimizer().second_moment().bytes(),
          .copies = pack.copy_bytes(),
          .activations = dry.pool().high_water() - fixed,
          .peak = dry.pool().high_water(),
          .step = step,
          .snapshot = saved_bytes(trainer, config, shard)};
}

MemoryPlan choose_memory_plan(const RunConfig& config, const Device& device, Shard shard,
                              int on_machine) {
  const DeviceTraits traits = device.facts().traits;
  const std::size_t available = device.available_memory(on_machine);
  const Index sequences = largest_share(config, shard.size);
  require_state_fits(config, available, shard);
  const Planner planner(config, traits, shard);
  const Index wanted = config.batch.micro_batch;
  Index micro_batch = std::min(wanted, sequences);
  if (wanted == 0) {
    Index most = planner.largest_that_fits(sequences, available, !traits.is_gpu());
    if (most == 0) most = planner.largest_that_fits(sequences, available, false);
    micro_batch = even_micro_batch(sequences, std::max<Index>(1, most));
  }
  MemoryPlan plan = planner.plan(micro_batch);
  if (plan.peak > available)
    require_fits(plan, available,
                 advice(config, planner.largest_that_fits(micro_batch, available, false)));
  plan_snapshot(plan, config, device, on_machine);
  return plan;
}

void plan_snapshot(MemoryPlan& plan, const RunConfig& config, const Device& device,
                   int on_machine) {
  const bool gpu = device.facts().traits.is_gpu();
  const std::size_t free = free_host_memory(gpu && config.parallel.zero == 0 ? 1 : on_machine);
  plan.streamed = plan.snapshot + (gpu ? 0 : plan.peak) > free;
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
         row("  moments", plan.moments) + row("  copies for products", plan.copies) +
         row("  activations", plan.activations) + row("  peak", plan.peak) +
         (plan.snapshot ? row("  copy for a checkpoint", plan.snapshot) : "") +
         (plan.snapshot ? "                            " + snapshot_text(plan) + '\n' : "");
}

std::string snapshot_text(const MemoryPlan& plan) {
  if (!plan.streamed) return "in host memory; written while training goes on";
  return fmt::format("too much for host memory: written in blocks of {}, training waits",
                     bytes_text(double(kCheckpointBlock)));
}

std::unique_ptr<Backend> make_backend(const Device& device,
                                      const std::function<void(Backend&)>& rehearse) {
  DryBackend dry(device.facts().traits);
  rehearse(dry);
  const std::size_t peak = dry.pool().high_water(), available = device.available_memory();
  require(peak <= available, Fault::memory, "out of memory: ", bytes_text(double(peak)),
          " are needed on ", device.name(), ", but only ", bytes_text(double(available)),
          " are available");
  return device.make_backend(peak);
}

}  // namespace tern
