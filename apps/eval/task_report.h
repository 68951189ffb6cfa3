// Results of zero-shot tasks: a table for people, and the files of lm-evaluation-harness.
#pragma once

#include "apps/eval/evaluate_tasks.h"
#include "runtime/zero_shot.h"

namespace tern {

// How the tasks were scored.
struct TaskSettings {
  TaskEvaluation evaluation{};  // as it was asked for
  std::string model{};          // the path of the checkpoint or folder
  bool bos = false;
  std::string bos_reason{};  // what decided it
  std::int64_t max_length = 0;
  double seconds = 0;  // that it took
};

std::string task_table(const std::vector<ZeroShotItems>& tasks);

// The layout of lm-evaluation-harness's results_*.json.
nlohmann::json results_json(const std::vector<ZeroShotItems>& tasks, const TaskSettings& settings);

// A line of --log-samples.
nlohmann::json sample_json(const std::string& task, const ZeroShotItem& item);

}  // namespace tern
