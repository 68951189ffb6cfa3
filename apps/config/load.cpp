#include "apps/config/load.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <tuple>

#include "apps/config/schema.h"
#include "apps/config/toml_document.h"
#include "core/check.h"
#include "data/io/files.h"

namespace tern {

namespace {

// name in messages of a member of a table, or of the document
std::string member_name(const ConfigSection* parent, std::string_view name) {
  return parent ? fmt::format("{}.{}", parent->name, name) : std::string(name);
}

constexpr std::size_t kMaxTables = 1024;  // of one list

// "value = <text>", if that is one valid value
std::optional<toml::table> one_value(const std::string& text) {
  ConfigProblems problems("--set");
  try {
    TomlDocument document = parse_document(fmt::format("value = {}", text), "--set", problems);
    if (problems.empty() && document.root.size() == 1) return document.root;
  } catch (const Error&) {
    // not TOML: the caller takes it for a string
  }
  return std::nullopt;
}

// The value as TOML, or else as a string: for text, quotes are the user's choice.
std::optional<toml::table> override_value(const std::string& text, const ConfigKey& key) {
  std::optional<toml::table> document = one_value(text);
  const bool wants_text = std::holds_alternative<std::string>(key.fallback);
  if (!document || (wants_text && !document->begin()->second.is_string()))
    document = one_value(toml_string(text));
  return document;
}

std::optional<std::size_t> as_index(std::string_view text) {
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return index;
}

// "a.b.c" to "a.b" and "c"
std::pair<std::string_view, std::string_view> split_last(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot == name.npos) return {"", name};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

// The steps behind load_config. Each adds what it finds to the same list of problems, so that one
// pass shows all of them.
class ConfigLoader {
 public:
  explicit ConfigLoader(const std::string& file);

  void read(const std::string& text);
  void apply(const std::string& override_text);  // "optimizer.lr=1e-3"
  LoadedConfig finish();                         // Fault::usage with all problems, if there are any

 private:
  // one table of the file that holds keys: [section] or the index-th [[section]]
  struct Table {
    const ConfigSection* section = nullptr;  // none: the document itself
    std::size_t index = 0;
  };

  void read_members(const toml::table& members, Table table);
  void read_section(const toml::node& node, const ConfigSection& section);
  void assign(const toml::node& node, Table table, const ConfigKey& key, const ValueOrigin& at);
  void report_unknown(const toml::node& node, const ConfigSection* parent, const toml::key& name);
  void report_unknown_table(const ValueOrigin& at, std::string_view called);
  void report_unknown_key(const ValueOrigin& at, std::string_view called,
                          const ConfigSection* parent, std::string_view key);

  std::optional<Table> find_table(std::string_view name, const ValueOrigin& at);

  void mark_invalid(const ConfigSection& section);  // all its keys

  void require_keys();
  void settle_length();
  void apply_named_size();
  void derive(const std::string& key, const std::string& from);

  const ConfigSchema& schema_;
  LoadedConfig loaded_;
  ConfigProblems problems_;
  std::set<std::string> invalid_keys_;  // keys, without index, whose value could not be read
};

ConfigLoader::ConfigLoader(const std::string& file) : schema_(schema()), problems_(file) {
  loaded_.file = file;
}

void ConfigLoader::read(const std::string& text) {
  const TomlDocument document = parse_document(text, loaded_.file, problems_);
  for (const std::string& name : document.left_out)
    for (const ConfigSection& section : schema_)
      if (find_key(section, name)) invalid_keys_.insert(member_name(&section, name));
  read_members(document.root, {});
}

void ConfigLoader::read_members(const toml::table& members, Table table) {
  for (const auto& [name, node] : members) {
    const bool dotted = name.str().find('.') != name.str().npos;  // a quoted key, none of ours
    const ConfigSection* section =
        dotted ? nullptr : find_section(schema_, member_name(table.section, name.str()));
    const ConfigKey* key = table.section ? find_key(*table.section, name.str()) : nullptr;
    if (section) {
      read_section(node, *section);
    } else if (key) {
      assign(node, table, *key, origin_of(node.source()));
    } else {
      report_unknown(node, table.section, name);
    }
  }
}

void ConfigLoader::read_section(const toml::node& node, const ConfigSection& section) {
  const auto expected = [&](const toml::node& got, std::string_view what) {
    problems_.add(origin_of(got.source()),
                  fmt::format("{}: expected {}, got {}", section.name, what, describe(got)));
    mark_invalid(section);
  };
  if (section.list ? !node.is_array() : !node.is_table()) return expected(node, header(section));
  if (!section.list) return read_members(*node.as_table(), {&section});
  for (const toml::node& element : *node.as_array()) {
    if (!element.is_table()) {
      expected(element, "a table");
      continue;
    }
    const std::size_t index = section.count(loaded_.config);
    section.append(loaded_.config);
    read_members(*element.as_table(), {&section, index});
  }
}

void ConfigLoader::assign(const toml::node& node, Table table, const ConfigKey& key,
                          const ValueOrigin& at) {
  const std::string name = full_name(*table.section, table.index, key);
  const std::variant<ConfigValue, ValueMistake> read = read_value(node, key);
  if (const auto* mistake = std::get_if<ValueMistake>(&read)) {
    invalid_keys_.insert(member_name(table.section, key.name));
    return problems_.add(at, fmt::format("{}: {}", name, mistake->text));
  }
  ConfigValue value = std::get<ConfigValue>(read);
  if (key.path) try {
      value = expand_home(std::get<std::string>(value));
    } catch (const Error& e) {
      invalid_keys_.insert(member_name(table.section, key.name));
      return problems_.add(at, fmt::format("{}: {}", name, e.what()));
    }
  key.set(loaded_.config, table.index, value);
  loaded_.origins[name] = at;
}

void ConfigLoader::mark_invalid(const ConfigSection& section) {
  for (const ConfigKey& key : section.keys) invalid_keys_.insert(member_name(&section, key.name));
}

void ConfigLoader::report_unknown(const toml::node& node, const ConfigSection* parent,
                                  const toml::key& name) {
  const std::string called = member_name(parent, name.str());
  const ValueOrigin at = origin_of(name.source());
  if (node.is_table() || node.is_array_of_tables()) return report_unknown_table(at, called);
  report_unknown_key(at, called, parent, name.str());
}

void ConfigLoader::report_unknown_table(const ValueOrigin& at, std::string_view called) {
  const std::string meant = nearest_table(schema_, called);
  std::string suggestion;
  if (meant.empty()) {
    std::vector<std::string> names;
    for (const ConfigSection& section : schema_) names.push_back(section.name);
    suggestion = fmt::format("tables: {}", fmt::join(names, ", "));
  } else {
    suggestion = fmt::format("did you mean {}?", header(*find_section(schema_, meant)));
    mark_invalid(*find_section(schema_, meant));
  }
  problems_.add(at, fmt::format("{}: unknown table ({})", excerpt(called), suggestion));
}

// The value of a mistyped key is unknown: the key that was probably meant counts as invalid.
void ConfigLoader::report_unknown_key(const ValueOrigin& at, std::string_view called,
                                      const ConfigSection* parent, std::string_view key) {
  const std::string meant = nearest_key(schema_, parent ? parent->name : "", key);
  std::string suggestion;
  if (!meant.empty()) {
    suggestion = fmt::format(" (did you mean {}?)", meant);
    invalid_keys_.insert(meant);
  } else if (parent) {
    std::vector<std::string> names;
    for (const ConfigKey& known : parent->keys) names.push_back(known.name);
    suggestion = fmt::format(" (keys of [{}]: {})", parent->name, fmt::join(names, ", "));
  }
  problems_.add(at, fmt::format("{}: unknown key{}", excerpt(called), suggestion));
}

void ConfigLoader::require_keys() {
  std::set<std::string> missing;
  for (const ConfigSection& section : schema_)
    for (std::size_t i = 0; i < section.count(loaded_.config); ++i)
      for (const ConfigKey& key : section.keys) {
        const std::string name = full_name(section, i, key);
        const std::string plain = member_name(&section, key.name);
        if (!key.required || loaded_.origins.contains(name) || invalid_keys_.contains(plain))
          continue;
        problems_.add_anywhere(fmt::format("{}: expected {}, got nothing", name, expectation(key)));
        missing.insert(plain);
      }
  invalid_keys_.merge(missing);
}

void ConfigLoader::derive(const std::string& key, const std::string& from) {
  loaded_.origins[key] = {ValueOrigin::Kind::derived, 0, 0, from};
}

// run.steps and run.tokens say the same thing: one that is --set takes the place of the file's
// other.
void ConfigLoader::settle_length() {
  const auto is_set = [&](const std::string& key) {
    const auto found = loaded_.origins.find(key);
    return found != loaded_.origins.end() && found->second.kind == ValueOrigin::Kind::set;
  };
  const auto replaces = [&](const std::string& one, const std::string& other, std::int64_t& value) {
    if (value == 0 || !is_set(one) || is_set(other)) return;
    value = 0;
    derive(other, one);
  };
  replaces("run.steps", "run.tokens", loaded_.config.run.tokens);
  replaces("run.tokens", "run.steps", loaded_.config.run.steps);
}

// A published size fills in width and layers; values given beside it are left for
// check_consistency.
void ConfigLoader::apply_named_size() {
  RunConfig& config = loaded_.config;
  if (config.model_size == "custom" || invalid_keys_.contains("model.size")) return;
  const ModelConfig named = named_model(config.model_size);
  if (!loaded_.origins.contains("model.hidden_size")) {
    config.model.width = named.width;
    derive("model.hidden_size", "model.size");
  }
  if (!loaded_.origins.contains("model.num_hidden_layers")) {
    config.model.layers = named.layers;
    derive("model.num_hidden_layers", "model.size");
  }
}

LoadedConfig ConfigLoader::finish() {
  require_keys();
  settle_length();
  apply_named_size();
  if (loaded_.config.run.name.empty() && !invalid_keys_.contains("run.name")) {
    loaded_.config.run.name = std::filesystem::path(loaded_.file).stem().string();
    derive("run.name", "the file's name");
  }
  check_consistency(loaded_, invalid_keys_, problems_);
  if (!problems_.empty()) problems_.raise();
  return std::move(loaded_);
}

// "optimizer", or "data.source.0"; nothing, and a problem if it is a list, when there is none
std::optional<ConfigLoader::Table> ConfigLoader::find_table(std::string_view name,
                                                            const ValueOrigin& at) {
  const ConfigSection* section = find_section(schema_, name);
  if (section && !section->list) return Table{section};
  const auto [list, number] = split_last(name);
  const std::optional<std::size_t> index = as_index(number);
  if (!section) section = find_section(schema_, list);
  if (!section || !section->list) return std::nullopt;
  const std::size_t count = section->count(loaded_.config);
  if (index && *index <= count && *index < kMaxTables) return Table{section, *index};
  problems_.add(at, fmt::format("{0}: expected a list's number, {0}.0 to {0}.{1}", section->name,
                                std::min(count, kMaxTables - 1)));
  return std::nullopt;
}

void ConfigLoader::apply(const std::string& override_text) {
  const ValueOrigin at{ValueOrigin::Kind::set, 0, 0, "--set " + excerpt(override_text)};
  const std::size_t equals = override_text.find('=');
  if (equals == override_text.npos) return problems_.add(at, "expected key=value");
  const std::string name = override_text.substr(0, equals), text = override_text.substr(equals + 1);
  const auto [table_name, key_name] = split_last(name);
  const std::size_t before = problems_.size();
  const std::optional<Table> table = find_table(table_name, at);
  if (problems_.size() > before) return;
  const ConfigKey* key = table ? find_key(*table->section, key_name) : nullptr;
  if (!key) return report_unknown_key(at, name, table ? table->section : nullptr, key_name);
  const std::optional<toml::table> value = override_value(text, *key);
  if (!value)
    return problems_.add(
        at, fmt::format("{}: expected {}, got what is not UTF-8 text of at most {} B", name,
                        expectation(*key), kMaxConfigBytes));
  if (table->index == table->section->count(loaded_.config) && table->section->list)
    table->section->append(loaded_.config);
  assign(value->begin()->second, *table, *key, at);
}

std::string read_text(const std::filesystem::path& path) {
  try {
    return read_file(path, kMaxConfigBytes, Links::follow);
  } catch (const Error& e) {
    fail(Fault::usage, e.what());  // whatever is wrong with it, it is the command line's file
  }
}

}  // namespace

LoadedConfig load_config(const std::filesystem::path& path,
                         const std::vector<std::string>& overrides) {
  return parse_config(read_text(path), path.string(), overrides);
}

LoadedConfig parse_config(const std::string& text, const std::string& file,
                          const std::vector<std::string>& overrides) {
  ConfigLoader loader(file);
  loader.read(text);
  for (const std::string& one : overrides) loader.apply(one);
  return loader.finish();
}

void set_vocab_size(LoadedConfig& loaded, std::int64_t size, const std::string& from) {
  if (loaded.config.model.vocab_size != 0) return;
  loaded.config.model.vocab_size = size;
  loaded.origins["model.vocab_size"] = {ValueOrigin::Kind::derived, 0, 0, from};
}

namespace {

constexpr std::size_t kMostShown = 40;
constexpr std::size_t kNoLine = std::numeric_limits<std::size_t>::max();  // sorts after the lines

}  // namespace

void ConfigProblems::add(const ValueOrigin& at, const std::string& text) {
  if (at.kind == ValueOrigin::Kind::file) {
    const std::string line = fmt::format("{}:{}:{}: {}", file_, at.line, at.column, text);
    found_.push_back({at.line, at.column, line});
  } else {
    found_.push_back({kNoLine, 0, fmt::format("{}: {}", at.text, text)});
  }
}

void ConfigProblems::add_anywhere(const std::string& text) {
  found_.push_back({kNoLine, 0, fmt::format("{}: {}", file_, text)});
}

void ConfigProblems::raise() const {
  std::vector<Problem> sorted = found_;
  std::ranges::stable_sort(sorted, {}, [](const Problem& p) { return std::tie(p.line, p.column); });
  std::string text;
  if (sorted.size() > 1) text = fmt::format("{} mistakes in the configuration:\n", sorted.size());
  for (std::size_t i = 0; i < std::min(sorted.size(), kMostShown); ++i)
    text += (i == 0 ? "" : "\n") + sorted[i].text;
  if (sorted.size() > kMostShown)
    text += fmt::format("\n... and {} more", sorted.size() - kMostShown);
  fail(Fault::usage, text);
}

}  // namespace tern
