#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "apps/config/loader.h"
#include "apps/config/toml_value.h"
#include "core/check.h"

namespace tern {

namespace {

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

}  // namespace

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

}  // namespace tern
