#include "apps/report/html.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/console/terminal.h"

namespace tern {

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  return out;
}

std::string script_string(std::string_view text) {
  constexpr bool kAsciiOnly = true;  // U+2028 and U+2029 too become \uNNNN
  const std::string json = nlohmann::json(printable(text))
                               .dump(-1, ' ', kAsciiOnly, nlohmann::json::error_handler_t::replace);
  std::string out;
  for (const char c : json)
    if (c == '<' || c == '>' || c == '&')
      out += fmt::format("\\u{:04x}", int(c));
    else
      out += c;
  return out;
}

std::string script_numbers(std::span<const double> numbers, int digits) {
  std::string out = "[";
  for (const double x : numbers) {
    if (out.size() > 1) out += ',';
    out += std::isfinite(x) ? fmt::format("{:.{}g}", x, digits) : "null";
  }
  return out + "]";
}

std::string note(std::string_view text) {
  return "<p class=\"note\">" + html_text(text) + "</p>\n";
}

}  // namespace tern
