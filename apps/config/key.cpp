#include "apps/config/key.h"

#include <fmt/format.h>

#include <cmath>

namespace tern {

namespace {

// 1e9 as such: zeros are hard to count
std::string limit(double x) {
  const double power = std::log10(x);
  if (x >= 1e6 && power == std::trunc(power)) return fmt::format("1e{:.0f}", power);
  return x == std::trunc(x) && std::fabs(x) < 1e15 ? fmt::format("{:.0f}", x)
                                                   : fmt::format("{}", x);
}

std::string listed(const std::vector<std::string>& choices) {
  std::string text;
  for (std::size_t i = 0; i < choices.size(); ++i)
    text += (i == 0 ? "" : i + 1 == choices.size() ? " or " : ", ") + toml_string(choices[i]);
  return text;
}

struct Kind {
  const ConfigKey& key;
  std::string operator()(bool) const { return "true or false"; }
  std::string operator()(std::int64_t) const { return "an integer " + key.range.text(); }
  std::string operator()(double) const { return "a number " + key.range.text(); }
  std::string operator()(const std::string&) const {
    return key.choices.empty() ? "a string" : listed(key.choices);
  }
  std::string operator()(const std::vector<std::string>&) const { return "an array of strings"; }
  std::string operator()(const Span&) const {
    return "steps (an integer) or a share of the run (\"0%\" to \"100%\")";
  }
};

}  // namespace

bool NumberRange::contains(double x) const {
  return std::isfinite(x) && (above_low ? x > low : x >= low) &&
         (below_high ? x < high : x <= high);
}

std::string NumberRange::text() const {
  const std::string from = fmt::format("{} {}", above_low ? ">" : ">=", limit(low));
  if (!std::isfinite(high)) return from;
  return fmt::format("{} and {} {}", from, below_high ? "<" : "<=", limit(high));
}

const ConfigSection* find_section(const ConfigSchema& schema, std::string_view name) {
  for (const ConfigSection& section : schema)
    if (section.name == name) return &section;
  return nullptr;
}

const ConfigKey* find_key(const ConfigSection& section, std::string_view name) {
  for (const ConfigKey& key : section.keys)
    if (key.name == name) return &key;
  return nullptr;
}

std::string header(const ConfigSection& section) {
  return fmt::format("{}{}{}", section.list ? "[[" : "[", section.name, section.list ? "]]" : "]");
}

std::string full_name(const ConfigSection& section, std::size_t index, const ConfigKey& key) {
  return section.list ? fmt::format("{}.{}.{}", section.name, index, key.name)
                      : fmt::format("{}.{}", section.name, key.name);
}

std::string expectation(const ConfigKey& key) {
  return std::visit(Kind{key}, key.fallback);
}

}  // namespace tern
