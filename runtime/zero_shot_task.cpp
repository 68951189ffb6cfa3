#include "runtime/zero_shot_task.h"

#include <algorithm>
#include <map>
#include <set>

#include "data/text/documents.h"
#include "data/text/utf8.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

constexpr const char* kEndings[] = {".jsonl", ".jsonl.xz", ".jsonl.gz", ".jsonl.zst"};

struct KnownTask {
  bool norms;
  double version;
};

// What lm-evaluation-harness reports of its own tasks.
const KnownTask* known_task(const std::string& name) {
  static const std::map<std::string, KnownTask> known = {
      {"arc_easy", {true, 1}},   {"arc_challenge", {true, 1}}, {"hellaswag", {true, 1}},
      {"openbookqa", {true, 1}}, {"piqa", {true, 1}},          {"winogrande", {false, 1}},
      {"boolq", {false, 2}},     {"copa", {false, 1}},         {"lambada_openai", {false, 1}}};
  const auto found = known.find(name);
  return found == known.end() ? nullptr : &found->second;
}

std::string task_names(const fs::path& directory) {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string file = entry.path().filename().string();
    for (const char* ending : kEndings)
      if (file.ends_with(ending) && is_plain_name(file.substr(0, file.rfind(ending))))
        names.insert(file.substr(0, file.rfind(ending)));
  }
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list.empty() ? "none" : list;
}

fs::path task_file(const fs::path& directory, const std::string& name) {
  for (const char* ending : kEndings)
    if (is_plain_name(name) && path_exists(directory / (name + ending)))
      return directory / (name + ending);
  std::error_code error;
  require(fs::is_directory(directory, error), Fault::input, "--task-dir ", directory.string(),
          ": expected a folder of task files, got ",
          fs::exists(directory, error) ? "something else" : "nothing of that name");
  require(is_plain_name(name), Fault::input, "--tasks: '", name,
          "': expected a name of letters, digits, '_', '-' and '.'");
  fail(Fault::input, directory.string(), ": no task '", name, "': expected ", name,
       ".jsonl (or .jsonl.xz, .jsonl.gz, .jsonl.zst) in --task-dir; tasks there: ",
       task_names(directory));
}

std::vector<std::string> strings(const Json& item, const char* key, const std::string& where) {
  const Json& list = json_member(item, key, where);
  require(list.is_array(), Fault::input, where, ": ", key, ": expected a list of texts, got ",
          list.type_name());
  std::vector<std::string> out;
  for (const Json& text : list) {
    require(text.is_string(), Fault::input, where, ": ", key, ": expected texts, got ",
            text.type_name());
    out.push_back(text.get<std::string>());
  }
  return out;
}

TaskItem item_of(std::string_view line, const std::string& where) {
  const Json json = parse_json(line, where);
  require(json.is_object(), Fault::input, where, ": expected an object, got ", json.type_name());
  TaskItem item{.id = json_member(json, "id", where),
                .contexts = strings(json, "contexts", where),
                .continuations = strings(json, "continuations", where)};
  require(item.id.is_number_integer() || item.id.is_string(), Fault::input, where,
          ": id: expected a whole number or text, got ", item.id.type_name());
  if (!json.contains("gold")) return item;
  const Json& gold = json.at("gold");
  require(gold.is_number_integer(), Fault::input, where, ": gold: expected a whole number, got ",
          gold.type_name());
  item.gold = gold.is_number_unsigned() && gold.get<std::uint64_t>() > INT32_MAX
                  ? std::int64_t(INT32_MAX)
                  : gold.get<std::int64_t>();
  return item;
}

}  // namespace

std::string_view TaskItem::choice(std::size_t j) const {
  const std::string_view text = continuation(j);
  return text.empty() ? text : text.substr(first_character(text).bytes);
}

std::string problem_of(const TaskItem& item) {
  const std::size_t contexts = item.contexts.size(), continuations = item.continuations.size();
  if (contexts == 0) return "no contexts";
  if (continuations == 0) return "no continuations";
  if (contexts != continuations && contexts > 1 && continuations > 1)
    return std::to_string(contexts) + " contexts and " + std::to_string(continuations) +
           " continuations: expected as many, or one";
  for (std::size_t j = 0; j < item.requests(); ++j) {
    if (item.continuation(j).empty() || (item.gold && item.choice(j).empty()))
      return "choice " + std::to_string(j) + " is empty";
  }
  if (item.gold && (*item.gold < 0 || *item.gold >= std::int64_t(item.requests())))
    return "gold: expected 0 to " + std::to_string(item.requests() - 1) + ", got " +
           std::to_string(*item.gold);
  if (!item.gold && item.requests() > 1)
    return "without gold: expected one context and one continuation";
  return "";
}

ZeroShotTask read_task(const fs::path& directory, const std::string& name) {
  ZeroShotTask task{.name = name, .file = task_file(directory, name)};
  const std::string path = task.file.string();
  const auto files = std::make_shared<const std::vector<InputFile>>(
      list_inputs(std::span(&path, 1), InputFormat::json_lines));
  DocumentReader reader(files, SplitRule(0, *files), {});
  while (const auto batch = reader.next())
    for (const TextItem& line : batch->items) {
      const std::string where = path + ':' + std::to_string(line.line);
      task.items.push_back(item_of(batch->of(line), where));
      require(task.items.back().gold.has_value() == task.items[0].gold.has_value(), Fault::input,
              where, ": expected every item of a task to have gold, or none");
    }
  require(!task.items.empty(), Fault::input, path, ": expected items, got an empty file");
  task.multiple_choice = task.items[0].gold.has_value();
  const KnownTask* known = known_task(name);
  const bool one_context = std::ranges::all_of(
      task.items, [](const TaskItem& item) { return item.contexts.size() <= 1; });
  task.norms = task.multiple_choice && (known ? known->norms : one_context);
  if (known) task.version = known->version;
  return task;
}

}  // namespace tern
