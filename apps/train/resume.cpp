#include "apps/train/resume.h"

#include <algorithm>

#include "apps/config/resolved.h"
#include "apps/train/course.h"
#include "apps/train/saved_config.h"
#include "data/checkpoint/directory.h"
#include "runtime/training_state.h"

namespace tern {
namespace {

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += (text.empty() ? "" : "; ") + line;
  return text;
}

// A link among a run's checkpoints may be renamed before it is read again: see begin_course().
std::filesystem::path without_link(std::filesystem::path path) {
  if (!path.has_filename()) path = path.parent_path();  // step-00001000/
  std::error_code error;
  return std::filesystem::is_symlink(path, error) && std::filesystem::exists(path, error)
             ? std::filesystem::canonical(path)
             : path;
}

// New weights would in the end replace what is there: that must be asked for.
void require_no_checkpoint(const std::filesystem::path& checkpoints,
                           std::vector<std::string> reasons) {
  for (const std::string& name : set_aside(checkpoints))
    reasons.push_back(
        name + " belongs to an abandoned course of the run: to go back to it, use --resume " +
        (checkpoints / name).string());
  constexpr std::size_t kMost = 8;
  const std::size_t more = reasons.size() - std::min(reasons.size(), kMost);
  reasons.resize(reasons.size() - more);
  if (more > 0) reasons.push_back("and " + std::to_string(more) + " more");
  require(reasons.empty(), Fault::input, checkpoints.string(),
          ": expected a checkpoint to resume from, none can be used: ", joined(reasons),
          "; to start with new weights take another run.name, or delete this run with --overwrite");
}

}  // namespace

Existing existing_for(const TrainOptions& options) {
  const std::string& resume = options.resume;
  if (options.overwrite) {
    require(resume.empty() || resume == "none", Fault::usage,
            "--overwrite deletes the run that --resume ", resume,
            " would continue: give only one of the two options");
    return Existing::overwrite;
  }
  if (resume == "none") return Existing::refuse;
  return resume.empty() ? Existing::same : Existing::resume;
}

std::string other_run(const std::string& saved, const std::string& where, const RunConfig& config) {
  try {
    std::vector<Difference> all = differences(parse_config(saved, where).config, config);
    std::erase_if(all, [](const Difference& d) { return d.decides == Decides::place; });
    return text_of(all);
  } catch (const Error& e) {
    return e.what();
  }
}

std::optional<Checkpoint> find_start(const TrainOptions& options, const RunDirectory& directory,
                                     Console& console) {
  const std::string& resume = options.resume;
  if (resume == "none") return std::nullopt;
  if (!resume.empty() && resume != "auto") {
    Checkpoint checkpoint = Checkpoint::open(without_link(resume));
    const Findings findings = checkpoint.verify();
    for (const std::string& warning : findings.warnings) console.warn(warning);
    require(findings.problems.empty(), Fault::input, resume,
            " cannot be resumed from: ", joined(findings.problems));
    return checkpoint;
  }
  const NewestGood newest = newest_of_course(directory.checkpoints());
  if (!newest.path) {
    require_no_checkpoint(directory.checkpoints(), newest.passed_over);
    return std::nullopt;
  }
  for (const std::string& reason : newest.passed_over)
    console.warn("passed over a checkpoint: " + reason);
  return Checkpoint::open(*newest.path);
}

void require_same_run(const Checkpoint& checkpoint, const RunConfig& config) {
  std::vector<Difference> all = differences(saved_config(checkpoint), config);
  std::erase_if(all, [](const Difference& d) { return d.decides != Decides::run; });
  require(all.empty(), Fault::input, checkpoint.path().string(),
          " belongs to another run: ", text_of(all),
          " (use init_from to start a new run from its weights)");
}

void require_same_data(const Checkpoint& checkpoint, const TrainingData& data) {
  const std::string where = checkpoint.path().string();
  const TrainingState saved = training_state(checkpoint.manifest(), where);
  const std::string& now = data.tokenizer().hash();
  require(saved.tokenizer_hash == now, Fault::input, where, ": expected the tokenizer with hash ",
          saved.tokenizer_hash, ", this one has ", now);
  require(
      !saved.data_content.empty(), Fault::input, where,
      ": was saved by a release that ordered samples by the path of the data: resumed here, the "
      "run would see some samples of this epoch twice and others never; start a new run from it "
      "(init_from.path, init_from.moments = true)");
  require(
      saved.data_content == data.hashes(), Fault::input, where,
      ": the training data differs from the data that this run has read so far (hashes differ)");
}

void warn_of_other_algorithms(const Checkpoint& checkpoint, const std::string& algorithms_hash,
                              Console& console) {
  const std::string where = checkpoint.path().string();
  const std::string saved = training_state(checkpoint.manifest(), where).algorithms;
  const auto named = [](const std::string& hash) { return hash.empty() ? "none" : hash; };
  if (saved != algorithms_hash)
    console.warn(where + ": the run used other measured algorithms of products (" + named(saved) +
                 ", here " + named(algorithms_hash) + "): last bits may differ");
}

}  // namespace tern
