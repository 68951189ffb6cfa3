#include "apps/config/loader.h"

#include <fmt/format.h>

#include <filesystem>

#include "apps/config/consistency.h"
#include "apps/config/schema.h"
#include "apps/config/suggest.h"
#include "apps/config/toml_value.h"
#include "data/io/files.h"

namespace tern {

namespace {

// what messages call a member of a table, or of the document
std::string member_name(const ConfigSection* parent, std::string_view name) {
  return parent ? fmt::format("{}.{}", parent->name, name) : std::string(name);
}

}  // namespace

ConfigLoader::ConfigLoader(const std::string& file) : schema_(schema()), problems_(file) {
  loaded_.file = file;
}

void ConfigLoader::read(const std::string& text) {
  const TomlDocument document = parse_document(text, loaded_.file, problems_);
  for (const std::string& name : document.left_out)
    for (const ConfigSection& section : schema_)
      if (find_key(section, name)) bad_.insert(member_name(&section, name));
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
    spoil(section);
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
    bad_.insert(member_name(table.section, key.name));
    return problems_.add(at, fmt::format("{}: {}", name, mistake->text));
  }
  ConfigValue value = std::get<ConfigValue>(read);
  if (key.path) try {
      value = expand_home(std::get<std::string>(value));
    } catch (const Error& e) {
      bad_.insert(member_name(table.section, key.name));
      return problems_.add(at, fmt::format("{}: {}", name, e.what()));
    }
  key.set(loaded_.config, table.index, value);
  loaded_.origins[name] = at;
}

void ConfigLoader::spoil(const ConfigSection& section) {
  for (const ConfigKey& key : section.keys) bad_.insert(member_name(&section, key.name));
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
    spoil(*find_section(schema_, meant));
  }
  problems_.add(at, fmt::format("{}: unknown table ({})", excerpt(called), suggestion));
}

// What a mistyped key was to say is not known: the one that it was meant to be counts as bad.
void ConfigLoader::report_unknown_key(const ValueOrigin& at, std::string_view called,
                                      const ConfigSection* parent, std::string_view key) {
  const std::string meant = nearest_key(schema_, parent ? parent->name : "", key);
  std::string suggestion;
  if (!meant.empty()) {
    suggestion = fmt::format(" (did you mean {}?)", meant);
    bad_.insert(meant);
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
        if (!key.required || loaded_.origins.contains(name) || bad_.contains(plain)) continue;
        problems_.add_anywhere(fmt::format("{}: expected {}, got nothing", name, expectation(key)));
        missing.insert(plain);
      }
  bad_.merge(missing);
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
  if (config.model_size == "custom" || bad_.contains("model.size")) return;
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
  if (loaded_.config.run.name.empty() && !bad_.contains("run.name")) {
    loaded_.config.run.name = std::filesystem::path(loaded_.file).stem().string();
    derive("run.name", "the file's name");
  }
  check_consistency(loaded_, bad_, problems_);
  if (!problems_.empty()) problems_.raise();
  return std::move(loaded_);
}

}  // namespace tern
