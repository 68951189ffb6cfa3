#include "apps/config/toml_value.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <optional>

#include "apps/config/suggest.h"

namespace tern {

namespace {

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

// What to do about a value of the wrong type, where that is clear.
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
