#include "apps/train/train.h"

#include <fmt/format.h>

#include "apps/config/resolved.h"
#include "apps/run/launcher.h"
#include "apps/train/opened_run.h"
#include "apps/train/training_run.h"
#include "runtime/checkpoints.h"
#include "runtime/huggingface.h"

namespace tern {
namespace {

void say(RankZero* rank_zero, const std::string& text) {
  if (rank_zero) rank_zero->console.say(text);
}

void start_with_new_weights(OpenedRun& opened, RankZero* rank_zero, Trainer& trainer) {
  const std::int64_t seed = opened.config.run.seed;
  trainer.pack().initialize(std::uint64_t(seed));
  say(rank_zero, fmt::format("starting with new weights, seed {}", seed));
}

void start_from_weights(const std::string& path, OpenedRun& opened, RankZero* rank_zero,
                        Trainer& trainer, TrainingRun& run) {
  const InitFromSection& from = opened.config.init_from;
  if (is_huggingface_folder(path)) {
    load_weights(open_huggingface(path).weights, trainer.pack());
    return say(rank_zero, fmt::format("starting from the weights of {}", from.path));
  }
  const Checkpoint checkpoint = Checkpoint::open(path);
  load_weights(weights_of(checkpoint), trainer.pack());
  if (from.moments) {
    load_moments(weights_of(checkpoint), trainer);
    run.start_adam_at(training_state(checkpoint.manifest(), path).adam_steps);
  }
  say(rank_zero, fmt::format("starting from the weights of {} (step {})", from.path,
                             checkpoint.manifest().step));
}

void resume_from(const std::string& path, RankZero* rank_zero, Trainer& trainer, TrainingRun& run) {
  const Checkpoint start = Checkpoint::open(path);
  const TrainingState saved = load_training(start, trainer);
  run.start_at(saved);
  say(rank_zero, fmt::format("resuming from {} (step {})", start.path().string(), saved.step));
  run.note_changes(saved_config(start));
}

// Rank 0 has chosen and checked a checkpoint, its own or init_from's; each rank reads its part.
void start_run(OpenedRun& opened, RankZero* rank_zero, Trainer& trainer, TrainingRun& run) {
  const auto broadcast = [&](const std::filesystem::path& path) {
    return opened.control().broadcast(path.string());
  };
  const std::string start =
      broadcast(rank_zero && rank_zero->start ? rank_zero->start->path() : "");
  const std::string weights = broadcast(rank_zero ? rank_zero->weights : "");
  if (rank_zero || opened.shards_saved()) {
    if (!start.empty())
      resume_from(start, rank_zero, trainer, run);
    else if (!weights.empty())
      start_from_weights(weights, opened, rank_zero, trainer, run);
    else
      start_with_new_weights(opened, rank_zero, trainer);
  }
  run.share_start();
}

void train_opened(OpenedRun& opened, std::unique_ptr<Backend>& backend) {
  opened.agree_on_micro_batch();
  const std::unique_ptr<RankZero> rank_zero =
      opened.info.rank == 0 ? std::make_unique<RankZero>(opened) : nullptr;
  if (opened.shards_saved()) require_shared_directory(opened);
  if (rank_zero) rank_zero->print_banner(opened);
  backend = opened.device.make_backend(opened.memory.peak);
  Trainer trainer(*backend, opened.config, opened.memory.micro_batch,
                  opened.info.size > 1 ? &opened.ranks->communicator() : nullptr);
  TrainingRun run(opened, rank_zero.get(), trainer);
  start_run(opened, rank_zero.get(), trainer, run);
  run.run();
}

}  // namespace

void train(const TrainOptions& options) {
  end_with_parent();
  OpenedRun opened(options);
  // its destructor waits for operations in flight: after the announcement
  std::unique_ptr<Backend> backend;
  try {
    train_opened(opened, backend);
    opened.ranks->announce_exit();
  } catch (...) {
    // a stop was agreed on by all ranks; other errors must be announced
    const ExitNotice end = exit_notice_of(std::current_exception());
    end.fault == Fault::stopped ? opened.ranks->announce_exit()
                                : opened.ranks->announce_failure(end.fault, end.why);
    throw;
  }
}

}  // namespace tern
