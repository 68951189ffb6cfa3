#include "apps/eval/task_report.h"

#include <fmt/format.h>

#include <ctime>

#include "apps/system/environment.h"

namespace tern {
namespace {

using Json = nlohmann::json;

template <class Value>
Json or_null(const std::optional<Value>& value) {
  return value ? Json(*value) : Json();
}

// Paths in the names of files: everything but letters, digits, '.', '-' becomes '_'.
std::string sanitized(std::string name) {
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-') c = '_';
  return name;
}

Json config_json(const TaskSettings& s) {
  const TaskEvaluation& e = s.evaluation;
  return {{"model", "tern"},
          {"model_args", {{"pretrained", s.model}, {"tokenizer", e.tokenizer.string()}}},
          {"model_dtype", e.dtype == "f64" ? "float64" : "float32"},
          {"device", e.device},
          {"batch_size", "auto"},
          {"limit", or_null(e.limit)},
          {"bootstrap_iters", 0},
          {"max_length", s.max_length},
          {"add_bos_token", s.bos},
          {"add_bos_token_reason", s.bos_reason}};
}

Json metrics_json(const ZeroShotItems& task) {
  Json out = {
      {"name", task.task.name}, {"alias", task.task.name}, {"sample_len", task.items.size()}};
  for (const Metric& m : metrics_of(task)) {
    out[m.name + ",none"] = m.value;
    out[m.name + "_stderr,none"] = m.error ? Json(*m.error) : Json("N/A");
  }
  return out;
}

}  // namespace

std::string task_table(const std::vector<ZeroShotItems>& tasks) {
  std::size_t width = 4;
  for (const ZeroShotItems& t : tasks) width = std::max(width, t.task.name.size());
  std::string table = fmt::format("{:<{}}  {:>6}  {:<10}  {:>10}  {:>7}  {:>7}\n", "task", width,
                                  "items", "metric", "value", "stderr", "chance");
  for (const ZeroShotItems& t : tasks) {
    std::string name = t.task.name, items = std::to_string(t.items.size()), chance;
    if (const auto share = chance_of(t)) chance = fmt::format("{:.4f}", *share);
    for (const Metric& m : metrics_of(t)) {
      const std::string value = m.name == "perplexity" ? fmt::format("{:.2f}", m.value)
                                                       : fmt::format("{:.4f}", m.value),
                        error = m.error ? fmt::format("{:.4f}", *m.error) : "";
      std::string line = fmt::format("{:<{}}  {:>6}  {:<10}  {:>10}  {:>7}  {:>7}", name, width,
                                     items, m.name, value, error, chance);
      table += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
      name = items = chance = "";
    }
  }
  return table;
}

Json results_json(const std::vector<ZeroShotItems>& tasks, const TaskSettings& settings) {
  Json results, versions, shots, better, samples, configs, groups, skipped, truncated;
  for (const ZeroShotItems& t : tasks) {
    const std::string& name = t.task.name;
    results[name] = metrics_json(t);
    versions[name] = t.task.version ? Json(*t.task.version) : Json("N/A");
    shots[name] = 0;
    for (const Metric& m : metrics_of(t)) better[name][m.name] = m.higher_is_better;
    samples[name] = {{"original", t.original}, {"effective", t.items.size()}};
    configs[name] = {{"task", name},
                     {"output_type", t.task.multiple_choice ? "multiple_choice" : "loglikelihood"},
                     {"num_fewshot", 0},
                     {"dataset_path", t.task.file.string()},
                     {"metadata", {{"version", versions[name]}}}};
    groups[name] = Json::array();
    skipped[name] = t.skipped;
    truncated[name] = t.truncated;
  }
  const std::string commit(git_id());
  return {{"results", results},
          {"group_subtasks", groups},
          {"configs", configs},
          {"versions", versions},
          {"n-shot", shots},
          {"higher_is_better", better},
          {"n-samples", samples},
          {"config", config_json(settings)},
          {"git_hash", commit.empty() ? Json() : Json(commit)},
          {"date", double(std::time(nullptr)) - settings.seconds},  // when it began
          {"max_length", settings.max_length},
          {"tern_version", version_line()},
          {"model_source", "tern"},
          {"model_name", settings.model},
          {"model_name_sanitized", sanitized(settings.model)},
          {"chat_template", nullptr},
          {"system_instruction", nullptr},
          {"total_evaluation_time_seconds", fmt::format("{:.3f}", settings.seconds)},
          {"skipped", skipped},
          {"truncated", truncated}};
}

Json sample_json(const std::string& task, const ZeroShotItem& item) {
  Json requests = Json::array();
  for (std::size_t j = 0; j < item.requests.size(); ++j)
    requests.push_back({{"context_ids", item.requests[j].context},
                        {"continuation_ids", item.requests[j].continuation},
                        {"loglikelihood", item.likelihoods[j].log_likelihood},
                        {"is_greedy", item.likelihoods[j].greedy}});
  Json line = {{"task", task}, {"doc_id", item.item.id}, {"requests", requests}};
  if (!item.item.gold) {
    line["acc"] = double(item.likelihoods[0].greedy);
    return line;
  }
  line["gold"] = *item.item.gold;
  for (const Answer& a : answers_of(item)) {
    const std::string name(a.metric);
    line["prediction" + name.substr(3)] = a.prediction;  // acc_norm: prediction_norm
    line[name] = double(a.right);
  }
  return line;
}

}  // namespace tern
