#include "apps/train/initial_weights.h"

#include "apps/train/course.h"
#include "runtime/checkpoints.h"
#include "runtime/training_state.h"

namespace tern {
namespace fs = std::filesystem;

bool needs_initial_weights(const RunConfig& config, const TrainOptions& options) {
  if (config.init_from.path.empty()) return false;
  if (options.overwrite || options.resume == "none") return true;
  if (!options.resume.empty() && options.resume != "auto") return false;
  return !has_course(fs::path(config.run.directory) / config.run.name / "checkpoints");
}

fs::path find_initial_weights(const RunConfig& config, const DeviceTraits& device,
                              const std::string& tokenizer_hash) {
  const InitFromSection& from = config.init_from;
  if (from.path.empty()) return {};
  const Checkpoint checkpoint = open_checkpoint(from.path);
  const std::string where = checkpoint.path().string();
  const Findings findings = checkpoint.verify();
  require(findings.problems.empty(), Fault::input,
          "init_from.path: ", findings.problems.empty() ? "" : findings.problems[0]);
  const std::string theirs = training_state(checkpoint.manifest(), where).tokenizer_hash;
  require(theirs == tokenizer_hash || from.other_tokenizer, Fault::input, "init_from.path: ", where,
          " was trained with another tokenizer (hash ", theirs, ", the data's has ", tokenizer_hash,
          "): its token ids mean other texts. Prepare the data with its tokenizer, or set "
          "init_from.other_tokenizer = true");
  require_weights(checkpoint, Model(config.model, model_options(config, device)), from.moments);
  return fs::canonical(checkpoint.path());
}

}  // namespace tern
