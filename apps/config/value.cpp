#include "apps/config/value.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/run/printable.h"

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

}  // namespace tern
