// tern eval --tasks: a model on zero-shot tasks, from files to tables.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

namespace tern {

struct TaskEvaluation {
  std::filesystem::path checkpoint{}, task_dir{};
  std::vector<std::string> tasks{};
  std::string bos = "auto";                  // "on", "off"
  std::optional<std::int64_t> max_length{};  // tokens of input; none: what the model states
  std::optional<std::int64_t> limit{};       // items of each task, from the first on; none: all
  std::string dtype = "f32";                 // or "f64"
  std::string device = "cpu";
  std::filesystem::path tokenizer{};              // empty: the model's own
  std::filesystem::path output{}, log_samples{};  // files to write; empty: none
};

// Prints the table of metrics and writes the files. Fault::usage, Fault::input.
void evaluate_tasks(const TaskEvaluation& evaluation);

}  // namespace tern
