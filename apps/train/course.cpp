#include "apps/train/course.h"

#include <cmath>

#include "apps/run/metrics.h"
#include "core/check.h"
#include "data/checkpoint/directory.h"
#include "data/io/files.h"
#include "runtime/checkpoints.h"
#include "runtime/training_state.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

// In `checkpoints`: the path of the checkpoint elsewhere that the course began with.
constexpr const char* kStart = "start";

std::string noted_start(const fs::path& checkpoints) {
  constexpr std::uint64_t kLongest = 16 << 10;
  if (!entry_exists(checkpoints / kStart)) return "";
  std::string path = read_file(checkpoints / kStart, kLongest);
  while (!path.empty() && path.back() == '\n') path.pop_back();
  return path;
}

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
  return !checkpoint_steps(checkpoints).empty() || entry_exists(checkpoints / kStart);
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
    if (!again) write_file_atomically(checkpoints / kStart, elsewhere + "\n");
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

}  // namespace tern
