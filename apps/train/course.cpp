#include "apps/train/course.h"

#include <fmt/format.h>

#include <cmath>

#include "apps/config/resolved.h"
#include "apps/run/open_model.h"
#include "apps/run/run_record.h"
#include "core/check.h"
#include "data/checkpoint/directory.h"
#include "data/io/files.h"
#include "runtime/checkpoints.h"
#include "runtime/huggingface.h"
#include "runtime/packed_model.h"
#include "runtime/training_state.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

bool lies_in(const fs::path& checkpoints, const Checkpoint& checkpoint) {
  const std::uint64_t step = checkpoint.manifest().step;
  const fs::path real = fs::canonical(checkpoint.path());
  if (real.parent_path() != fs::canonical(checkpoints) || !checkpoint_step(real.filename()))
    return false;
  require(real.filename() == checkpoint_name(step), Fault::input, checkpoint.path().string(),
          ": expected the name ", checkpoint_name(step), ", because it holds step ", step);
  return true;
}

std::string sentence(const std::vector<std::string>& names, std::uint64_t step) {
  if (names.empty()) return "";
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return "checkpoints that do not lead to step " + std::to_string(step) +
         " are set aside, not deleted: " + all;
}

// the validation loss at a checkpoint's step; kUnknown if there was none, or it cannot be read
double validation_loss_of(const fs::path& checkpoint) {
  const fs::path path = checkpoint / "manifest.json";
  try {
    const std::string text = read_file(path, kMaxManifestBytes);
    return training_state(parse_manifest(text, path.string()), path.string()).validation_loss;
  } catch (const Error&) {
    return kUnknown;
  }
}

void correct_notes(const fs::path& checkpoints) {
  const std::vector<std::uint64_t> left = checkpoint_steps(checkpoints);
  note_latest(checkpoints, left.empty() ? "" : checkpoint_name(left.back()));
  std::error_code error;
  if (!fs::exists(checkpoints / "best", error)) return;
  const std::optional<BestSaved> best = best_of_course(checkpoints);
  note_best(checkpoints, best ? checkpoint_name(best->step) : "");
}

// last: -1 for all
void drop_records_after(const RunDirectory& directory, std::int64_t last) {
  drop_metrics_after(directory.metrics(), last);
  directory.drop_samples_after(last);
}

}  // namespace

NewestGood newest_of_course(const fs::path& checkpoints, std::uint64_t most) {
  NewestGood newest = newest_good(checkpoints, most);
  if (newest.path) return newest;
  try {
    const std::string start = noted_start(checkpoints);
    if (start.empty()) return newest;
    const Checkpoint checkpoint = Checkpoint::open(start);
    const Findings findings = checkpoint.verify();
    if (findings.problems.empty() && checkpoint.manifest().step <= most) newest.path = start;
    for (const std::string& problem : findings.problems) newest.passed_over.push_back(problem);
  } catch (const Error& e) {
    newest.passed_over.push_back(e.what());
  }
  return newest;
}

bool has_course(const fs::path& checkpoints) {
  return !checkpoint_steps(checkpoints).empty() || entry_exists(checkpoints / kStartNote);
}

std::string begin_course(const RunDirectory& directory, const Checkpoint& start) {
  const fs::path checkpoints = directory.checkpoints();
  const std::uint64_t step = start.manifest().step;
  try {
    if (lies_in(checkpoints, start)) {
      const std::string text = abandon_after(checkpoints, step);
      drop_records_after(directory, std::int64_t(step));
      return text;
    }
    const std::string elsewhere = fs::canonical(start.path()).string();
    const bool again = noted_start(checkpoints) == elsewhere;
    const std::string text = sentence(set_aside_after(checkpoints, std::nullopt), step);
    correct_notes(checkpoints);
    if (!again) write_file_atomically(checkpoints / kStartNote, elsewhere + "\n");
    drop_records_after(directory, again ? std::int64_t(step) : -1);
    return text;
  } catch (const fs::filesystem_error& e) {
    fail(Fault::disk, directory.path().string(), ": ", e.what());
  }
}

std::optional<BestSaved> best_of_course(const fs::path& checkpoints) {
  std::optional<BestSaved> best;
  for (const std::uint64_t step : checkpoint_steps(checkpoints)) {
    const double loss = validation_loss_of(checkpoints / checkpoint_name(step));
    if (!std::isnan(loss) && !(best && best->loss <= loss)) best = {step, loss};
  }
  return best;
}

void begin_course(const RunDirectory& directory) {
  drop_records_after(directory, -1);
}

std::string abandon_after(const fs::path& checkpoints, std::uint64_t last) {
  const std::string text = sentence(set_aside_after(checkpoints, last), last);
  correct_notes(checkpoints);
  return text;
}

namespace {

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += (text.empty() ? "" : "; ") + line;
  return text;
}

// A link among a run's checkpoints may be renamed before it is read again: see begin_course().
fs::path without_link(fs::path path) {
  if (!path.has_filename()) path = path.parent_path();  // step-00001000/
  std::error_code error;
  return fs::is_symlink(path, error) && fs::exists(path, error) ? fs::canonical(path) : path;
}

// New weights would in the end replace what is there: that must be asked for.
void require_no_checkpoint(const fs::path& checkpoints, std::vector<std::string> reasons) {
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

void require_not_packed(const fs::path& path, const char* where) {
  require(
      !is_packed_model(path), Fault::input, where, path.string(),
      ": expected latent weights, got a .safetensors file, and a packed model has ternary codes "
      "alone: give the checkpoint or the folder that it was made of");
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
    require_not_packed(resume, "--resume ");
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
  require(!imported_run_config(checkpoint), Fault::input, checkpoint.path().string(),
          ": an imported model, without a run to go on with: start one from it with init_from");
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
  require(data.tokenizer().is(saved.tokenizer_hash), Fault::input, where,
          ": expected the tokenizer with hash ", saved.tokenizer_hash, ", this one has ", now);
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

bool needs_initial_weights(const RunConfig& config, const TrainOptions& options) {
  if (config.init_from.path.empty()) return false;
  if (options.overwrite || options.resume == "none") return true;
  if (!options.resume.empty() && options.resume != "auto") return false;
  return !has_course(fs::path(config.run.directory) / config.run.name / "checkpoints");
}

namespace {

// theirs: the hash that is stored, or ""
void require_tokenizer(const std::string& theirs, const Tokenizer& ours, const std::string& where,
                       const InitFromSection& from) {
  constexpr const char* kHow =
      "Prepare the data with its tokenizer, or set init_from.other_tokenizer = true";
  require(!theirs.empty() || from.other_tokenizer, Fault::input, "init_from.path: ", where,
          " has no tokenizer to compare the data's with. ", kHow);
  require(ours.is(theirs) || from.other_tokenizer, Fault::input, "init_from.path: ", where,
          " was trained with another tokenizer (hash ", theirs, ", the data's has ", ours.hash(),
          "): its token ids mean other texts. ", kHow);
}

// Weights mean something only with the arithmetic that they were trained in. Shapes are compared
// elsewhere.
void warn_of_other_model(const RunConfig& theirs, const RunConfig& ours, const std::string& where) {
  std::vector<Difference> all = differences(theirs, ours);
  std::erase_if(all, [](const Difference& d) {
    return d.key != "model.type" && d.key != "model.quantize" && d.key != "model.rms_norm_eps" &&
           d.key != "model.use_lower_bound" && d.key != "model.use_output_gate" &&
           d.key != "model.attention" && d.key != "model.num_attention_heads" &&
           d.key != "model.rope_theta";
  });
  if (!all.empty())
    fmt::print(stderr, "tern: warning: init_from.path: {}: {}\n", where, text_of(all));
}

}  // namespace

fs::path find_initial_weights(const RunConfig& config, const DeviceTraits& device,
                              const Tokenizer& tokenizer) {
  const InitFromSection& from = config.init_from;
  if (from.path.empty()) return {};
  const Model model(config.model, model_options(config, device));
  require_not_packed(from.path, "init_from.path: ");
  if (is_huggingface_folder(from.path)) {
    const SavedModel saved = open_model(from.path);
    require_tokenizer(saved.tokenizer ? saved.tokenizer->hash() : "", tokenizer, from.path, from);
    require_weights(saved.weights, model, from.moments);
    require_finite(saved.weights, model);
    warn_of_other_model(saved.config, config, from.path);
    return fs::canonical(from.path);
  }
  const Checkpoint checkpoint = open_checkpoint(from.path);
  const std::string where = checkpoint.path().string();
  const Findings findings = checkpoint.verify();
  require(findings.problems.empty(), Fault::input,
          "init_from.path: ", findings.problems.empty() ? "" : findings.problems[0]);
  require_tokenizer(training_state(checkpoint.manifest(), where).tokenizer_hash, tokenizer, where,
                    from);
  require_weights(weights_of(checkpoint), model, from.moments);
  warn_of_other_model(saved_config(checkpoint), config, where);
  return fs::canonical(checkpoint.path());
}

}  // namespace tern
