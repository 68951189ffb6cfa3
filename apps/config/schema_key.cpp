#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "apps/config/schema.h"
#include "apps/console/terminal.h"

namespace tern {
namespace {

std::string number(double x) {
  std::string text = fmt::format("{}", x);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";  // 1 would read as an integer
  return text;
}

struct ToToml {
  std::string operator()(bool x) const { return x ? "true" : "false"; }
  std::string operator()(std::int64_t x) const { return fmt::format("{}", x); }
  std::string operator()(double x) const { return number(x); }
  std::string operator()(const std::string& x) const { return toml_string(x); }
  std::string operator()(const std::vector<std::string>& list) const {
    std::string text;
    for (const std::string& x : list) text += (text.empty() ? "" : ", ") + toml_string(x);
    return fmt::format("[{}]", text);
  }
  std::string operator()(const Span& x) const {
    return x.percent ? fmt::format("\"{}%\"", x.amount) : fmt::format("{:.0f}", x.amount);
  }
};

bool is_control(char c) {
  return (c >= 0 && c < 0x20) || c == 0x7f;
}

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

constexpr std::size_t kLongest = 64;  // longer words are not compared

// Letters inserted, left out, replaced, or swapped with their neighbour (optimal string alignment).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1), above(row), above_that(row);
  std::iota(row.begin(), row.end(), std::size_t(0));
  for (std::size_t i = 1; i <= a.size(); ++i) {
    above_that.swap(above);
    above.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j - 1] + (a[i - 1] != b[j - 1]), row[j - 1] + 1, above[j] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], above_that[j - 2] + 1);
    }
  }
  return row[b.size()];
}

bool near(std::size_t distance, std::string_view wrong) {
  return distance <= std::max<std::size_t>(1, wrong.size() / 3);
}

}  // namespace

std::string to_toml(const ConfigValue& value) {
  return std::visit(ToToml{}, value);
}

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else if (is_control(c)) {
      out += fmt::format("\\u{:04x}", int(c));
    } else {
      out += c;
    }
  }
  return out += '"';
}

std::string excerpt(std::string_view text, std::size_t longest) {
  std::size_t end = std::min(text.size(), longest);
  while (end < text.size() && end > 0 && (text[end] & 0xc0) == 0x80)
    --end;  // whole UTF-8 sequences
  std::string line;
  for (const char c : printable(text.substr(0, end))) c == '\n' ? line += "\\n" : line += c;
  return end < text.size() ? line + "..." : line;
}

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

std::string nearest(std::string_view wrong, const std::vector<std::string>& names) {
  std::string best;
  if (wrong.empty() || wrong.size() > kLongest) return best;
  std::size_t least = kLongest;
  for (const std::string& name : names)
    if (const std::size_t d = distance(wrong, name); near(d, wrong) && d < least) {
      best = name;
      least = d;
    }
  return best;
}

std::string nearest_key(const ConfigSchema& schema, std::string_view table, std::string_view key) {
  std::string best;
  if (key.empty() || key.size() > kLongest || table.size() > kLongest) return best;
  std::size_t least = 3 * kLongest;
  for (const ConfigSection& section : schema)
    for (const ConfigKey& candidate : section.keys) {
      const std::size_t d = distance(key, candidate.name);
      const std::size_t score = 2 * d + std::min<std::size_t>(distance(table, section.name), 3);
      if (near(d, key) && score < least) {
        best = fmt::format("{}.{}", section.name, candidate.name);
        least = score;
      }
    }
  return best;
}

std::string nearest_table(const ConfigSchema& schema, std::string_view table) {
  std::vector<std::string> names;
  for (const ConfigSection& section : schema) names.push_back(section.name);
  return nearest(table, names);
}

}  // namespace tern
