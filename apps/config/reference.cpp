#include "apps/config/reference.h"

#include <fmt/format.h>

#include "apps/config/schema.h"

namespace tern {

namespace {

constexpr const char* kIntroduction = R"(# Configuration reference

This page is the output of `tern config reference`; do not edit it.

A run is described by one TOML file of at most 64 KiB. Every key has a place in one of the tables
below; an unknown key is an error. `--set table.key=value` on the command line overrides the file, the
last one wins; strings need no quotes there, and tables of a list are numbered from 0, as in
`--set data.source.0.path=corpora/books`. Relative paths are relative to the current
directory; `~/` is the home directory. `tern config show FILE` checks a file and prints every value with
where it came from.
)";

std::string default_text(const ConfigKey& key) {
  const auto* integer = std::get_if<std::int64_t>(&key.fallback);
  const bool none = integer && !key.range.contains(double(*integer));  // as model.hidden_size
  if (key.required) return "required";
  return none ? "" : fmt::format("`{}`", to_toml(key.fallback));
}

// what messages say, less the article that a sentence needs
std::string type_text(const ConfigKey& key) {
  std::string text;
  for (const std::string& choice : key.choices)
    text += fmt::format("{}`{}`", text.empty() ? "" : ", ", to_toml(choice));
  if (text.empty()) text = expectation(key);
  for (const std::string_view article : {"a ", "an "})
    if (text.starts_with(article)) text.erase(0, article.size());
  if (std::holds_alternative<Span>(key.fallback)) text = "steps or share";
  return key.unit.empty() ? text : fmt::format("{}, {}", text, key.unit);
}

}  // namespace

std::string config_reference() {
  std::string text = kIntroduction;
  for (const ConfigSection& section : schema()) {
    text += fmt::format("\n## {}\n\n", header(section));
    text += section.doc + "\n\n| key | type | default | meaning |\n|---|---|---|---|\n";
    for (const ConfigKey& key : section.keys)
      text += fmt::format("| `{}` | {} | {} | {} |\n", key.name, type_text(key), default_text(key),
                          key.doc);
  }
  return text;
}

}  // namespace tern
