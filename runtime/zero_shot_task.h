// Zero-shot tasks in files: NAME.jsonl, an item a line, complete strings as lm-evaluation-harness's
// templates spell them. The format: docs/evaluation.md.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

namespace tern {

// Request j is a context and its continuation: number j of each, or the only one.
struct TaskItem {
  nlohmann::json id{};  // a number or text
  std::vector<std::string> contexts{}, continuations{};
  std::optional<std::int64_t> gold{};  // counts from 0; none: right if the continuation is greedy

  std::size_t requests() const { return std::max(contexts.size(), continuations.size()); }
  const std::string& context(std::size_t j) const { return contexts[contexts.size() > 1 ? j : 0]; }
  const std::string& continuation(std::size_t j) const {
    return continuations[continuations.size() > 1 ? j : 0];
  }
  // of the continuation without its first character, the space between context and choice
  std::string_view choice(std::size_t j) const;
};

struct ZeroShotTask {
  std::string name{};
  std::filesystem::path file{};
  std::vector<TaskItem> items{};
  bool multiple_choice = true;      // else without gold, as LAMBADA
  bool norms = false;               // acc_norm and acc_bytes are reported
  std::optional<double> version{};  // of lm-evaluation-harness's task; none: not one of those
};

// directory/NAME.jsonl, also .jsonl.xz, .gz or .zst. Fault::input naming the tasks that are there
// if this one is not; naming file and line for a line that is not such an item.
ZeroShotTask read_task(const std::filesystem::path& directory, const std::string& name);

// Why an item cannot be scored: no choices, an empty one, a gold of none, unequal numbers of
// contexts and continuations. Empty: it can.
std::string problem_of(const TaskItem& item);

}  // namespace tern
