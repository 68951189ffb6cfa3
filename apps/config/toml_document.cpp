#include "apps/config/toml_document.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <optional>

#include "core/check.h"

namespace tern {
namespace {

// Finds what toml++ does not survive outside strings and comments: values that are nested too
// deeply, and characters that TOML does not have there, which toml++ 3.3 declares unreachable.
class OutsideScan {
 public:
  OutsideScan(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  void run() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == '"' || c == '\'') {
        skip_string(c);
      } else {
        count(c);
        ++at_;
      }
    }
  }

 private:
  void count(char c) {
    if (c == '\n') ++line_;
    if (c == '[' || c == '{') ++depth_;
    if ((c == ']' || c == '}') && depth_ > 0) --depth_;
    if (c == '\n' || c == '=' || c == ',') dots_ = 0;
    if (c == '.') ++dots_;
    require((c & 0x80) == 0, Fault::usage, name_, ":", line_,
            ": expected ASCII outside of strings and comments (text goes in quotes)");
    require(depth_ <= kMaxConfigNesting, Fault::usage, name_, ":", line_, ": expected at most ",
            kMaxConfigNesting, " nested arrays and tables, got more");
    require(dots_ < kMaxConfigNesting, Fault::usage, name_, ":", line_,
            ": expected a key of at most ", kMaxConfigNesting, " dotted parts, got more");
  }

  void skip_string(char quote) {
    const std::string three(3, quote);
    const bool multiline = text_.substr(at_, 3) == three;
    at_ += multiline ? 3 : 1;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (!multiline && c == '\n') return;  // unterminated; the parser will say so
      if (c == '\n') ++line_;
      if (c == '\\' && quote == '"') {
        ++at_;
        if (at_ < text_.size() && text_[at_] == '\n') ++line_;
      } else if (multiline ? text_.substr(at_, 3) == three : c == quote) {
        at_ += multiline ? 3 : 1;
        // a text in three quotes may end in two more
        for (int i = 0; multiline && i < 2 && text_.substr(at_, 1) == three.substr(0, 1); ++i)
          ++at_;
        return;
      }
    }
  }

  std::string_view text_;
  const std::string& name_;
  std::size_t at_ = 0, line_ = 1, depth_ = 0, dots_ = 0;
};

void require_plain_text(std::string_view text, const std::string& name) {
  require(text.size() <= kMaxConfigBytes, Fault::usage, name,
          ": expected a configuration of at most ", kMaxConfigBytes, " B, got ", text.size(), " B");
  for (const std::string_view mark : {"\xEF\xBB\xBF", "\xFF\xFE", "\xFE\xFF"})
    require(!text.starts_with(mark), Fault::usage, name,
            ":1:1: expected UTF-8 text, got a byte-order mark (save as UTF-8 without BOM)");
  const std::size_t nul = text.find('\0');
  if (nul == text.npos) return;
  const auto lines = std::count(text.begin(), text.begin() + std::ptrdiff_t(nul), '\n');
  fail(Fault::usage, name, ":", lines + 1, ": expected text, got a NUL byte at offset ", nul);
}

// first and last offset of a line, counted from 1
std::pair<std::size_t, std::size_t> line_at(std::string_view text, std::size_t number) {
  std::size_t begin = 0;
  for (std::size_t i = 1; i < number && begin < text.size(); ++i)
    begin = std::min(text.find('\n', begin), text.size() - 1) + 1;
  return {begin, std::min(text.find('\n', begin), text.size())};
}

// Blanks a line that is a whole `key = value` by itself, so that leaving it out harms no other, and
// returns the last part of the key; nothing for any other line.
std::optional<std::string> leave_out(std::string& text, std::size_t line) {
  const auto [begin, end] = line_at(text, line);
  const std::string content = text.substr(begin, end - begin);
  const std::size_t equals = content.find('=');
  if (equals == content.npos || content.find_first_of("[]{}") != content.npos ||
      content.find("\"\"\"") != content.npos || content.find("'''") != content.npos)
    return std::nullopt;
  std::fill(text.begin() + std::ptrdiff_t(begin), text.begin() + std::ptrdiff_t(end), ' ');
  std::string key = content.substr(0, equals);
  key.erase(0, key.rfind('.') + 1);  // npos + 1 is 0
  std::erase_if(key, [](char c) { return c == ' ' || c == '\t' || c == '"' || c == '\''; });
  return key;
}

// "Error while parsing boolean: expected ..., saw ..." without the preface
std::string explain(std::string_view description) {
  constexpr std::string_view kPreface = "Error while parsing ";
  const std::size_t colon = description.find(": ");
  if (!description.starts_with(kPreface) || colon == description.npos)
    return excerpt(description, 200);
  const std::string_view what = description.substr(kPreface.size(), colon - kPreface.size());
  return fmt::format("{} (reading a {}{})", excerpt(description.substr(colon + 2), 200), what,
                     what == "boolean" ? "; text goes in quotes" : "");
}

std::optional<double> as_number(std::string_view text) {
  double x = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), x);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return x;
}

// "2.5%"
std::optional<Span> as_share(const std::string& text) {
  if (!text.ends_with('%')) return std::nullopt;
  const std::optional<double> amount = as_number(text.substr(0, text.size() - 1));
  if (!amount || !(*amount >= 0 && *amount <= 100)) return std::nullopt;
  return Span{*amount, true};
}

// How to fix a value of the wrong type, where that is clear.
std::string hint(const toml::node& node, const ConfigKey& key) {
  const auto text = node.value_exact<std::string>();
  if (!key.choices.empty()) {
    const std::string best = text ? nearest(*text, key.choices) : "";
    return best.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", best);
  }
  const bool wants_texts = std::holds_alternative<std::vector<std::string>>(key.fallback);
  if (const toml::array* array = node.as_array(); array && wants_texts)
    for (const toml::node& element : *array)
      if (!element.is_string()) return fmt::format(" that holds {}", describe(element));
  if (std::holds_alternative<std::string>(key.fallback))
    return node.is_number() || node.is_boolean() ? " (put it in quotes)" : "";
  if (text && std::holds_alternative<bool>(key.fallback))
    return *text == "true" || *text == "false" ? fmt::format(" (write {})", *text) : "";
  const auto x = text ? as_number(*text) : node.value_exact<double>();
  if (!x || !key.range.contains(*x)) return "";
  if (std::holds_alternative<double>(key.fallback)) return fmt::format(" (write {})", to_toml(*x));
  const bool whole = std::fabs(*x) < 1e15 && *x == std::trunc(*x);
  return whole ? fmt::format(" (write {:.0f})", *x) : "";
}

// One reader per type of value; nothing when the node is not one, or not within the key's range.
struct Reader {
  const toml::node& node;
  const ConfigKey& key;
  using Result = std::optional<ConfigValue>;

  Result operator()(bool) const {
    const auto x = node.value_exact<bool>();
    return x ? Result(*x) : std::nullopt;
  }

  Result operator()(std::int64_t) const {
    const auto x = node.value_exact<std::int64_t>();
    return x && key.range.contains(double(*x)) ? Result(*x) : std::nullopt;
  }

  Result operator()(double) const {
    const toml::value<std::int64_t>* integer = node.as_integer();
    const auto x = integer ? std::optional(double(integer->get())) : node.value_exact<double>();
    return x && key.range.contains(*x) ? Result(*x) : std::nullopt;
  }

  Result operator()(const std::string&) const {
    const auto x = node.value_exact<std::string>();
    if (!x || x->find('\0') != x->npos) return std::nullopt;
    if (key.required && x->empty()) return std::nullopt;
    for (const auto& [earlier, now] : key.earlier_names)
      if (*x == earlier) return now;
    if (!key.choices.empty() && std::ranges::find(key.choices, *x) == key.choices.end())
      return std::nullopt;
    return *x;
  }

  Result operator()(const std::vector<std::string>&) const {
    const toml::array* array = node.as_array();
    if (!array) return std::nullopt;
    std::vector<std::string> texts;
    for (const toml::node& element : *array) {
      const auto text = element.value_exact<std::string>();
      if (!text) return std::nullopt;
      texts.push_back(*text);
    }
    return texts;
  }

  Result operator()(const Span&) const {
    if (const auto steps = node.value_exact<std::int64_t>())
      return key.range.contains(double(*steps)) ? Result(Span{double(*steps), false})
                                                : std::nullopt;
    const auto text = node.value_exact<std::string>();
    const std::optional<Span> share = text ? as_share(*text) : std::nullopt;
    return share ? Result(*share) : std::nullopt;
  }
};

}  // namespace

ValueOrigin origin_of(const toml::source_region& region) {
  return {.kind = ValueOrigin::Kind::file,
          .line = region.begin.line,
          .column = region.begin.column,
          .text = {}};
}

TomlDocument parse_document(std::string text, const std::string& name, ConfigProblems& problems) {
  constexpr std::size_t kMaxSyntaxErrors = 20;
  require_plain_text(text, name);
  TomlDocument document;
  for (;;) {
    OutsideScan(text, name).run();
    try {
      document.root = toml::parse(std::string_view(text), std::string_view(name));
      return document;
    } catch (const toml::parse_error& e) {
      problems.add(origin_of(e.source()), explain(e.description()));
      const std::optional<std::string> key = leave_out(text, e.source().begin.line);
      if (!key || problems.size() >= kMaxSyntaxErrors) problems.raise();
      document.left_out.push_back(*key);
    }
  }
}

std::string describe(const toml::node& node) {
  if (const auto x = node.value_exact<std::string>()) return fmt::format("\"{}\"", excerpt(*x));
  if (const auto x = node.value_exact<std::int64_t>()) return fmt::format("{}", *x);
  if (const auto x = node.value_exact<double>()) return to_toml(*x);
  if (const auto x = node.value_exact<bool>()) return *x ? "true" : "false";
  if (node.is_table()) return "a table";
  return node.is_array() ? "an array" : "a date or time";
}

std::variant<ConfigValue, ValueMistake> read_value(const toml::node& node, const ConfigKey& key) {
  if (std::optional<ConfigValue> value = std::visit(Reader{node, key}, key.fallback)) return *value;
  return ValueMistake{
      fmt::format("expected {}, got {}{}", expectation(key), describe(node), hint(node, key))};
}

}  // namespace tern
