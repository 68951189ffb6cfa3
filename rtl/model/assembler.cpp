#include "rtl/model/assembler.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>

#include "core/check.h"

namespace tern::rtl {
namespace {

using Words = std::vector<std::string_view>;

Words split(std::string_view text, std::string_view separators) {
  Words out;
  for (std::size_t at = 0; (at = text.find_first_not_of(separators, at)) != text.npos;) {
    const std::size_t end = std::min(text.find_first_of(separators, at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

std::optional<std::uint64_t> number_of(std::string_view text) {
  const bool is_hex = text.starts_with("0x");
  if (is_hex) text.remove_prefix(2);
  std::uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, is_hex ? 16 : 10);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> parse(const Operand& o, std::string_view text) {
  if (o.kind == Operand::Kind::number) return number_of(text);
  for (std::uint64_t v = o.first; v <= o.last; ++v)
    if (text == text_of(o, v)) return v;
  return std::nullopt;
}

// Takes the text of an operand from the front of `left`; nullopt: the operand is not there.
std::optional<std::string_view> take(const Operand& o, Words& left) {
  if (left.empty()) return std::nullopt;
  std::string_view text = left.front();
  if (o.name) {
    const std::string begin = std::string(o.name) + "=";
    if (!text.starts_with(begin)) return std::nullopt;
    text.remove_prefix(begin.size());
  }
  left.erase(left.begin());
  return text;
}

std::uint64_t assemble_line(Words words, const std::string& where) {
  const auto form =
      std::ranges::find_if(forms(), [&](const Form& f) { return words[0] == f.mnemonic; });
  require(form != forms().end(), Fault::input, where, ": expected an instruction, got '", words[0],
          "'");
  words.erase(words.begin());
  std::uint64_t word = std::uint64_t(form->op) << kOpAt | form->fixed;
  for (const Operand& o : form->operands) {
    const std::string got =
        words.empty() ? "the end of the line" : "'" + std::string(words[0]) + "'";
    const auto text = take(o, words);
    if (!text && o.flag != 0) continue;
    const auto value = text ? parse(o, *text) : std::nullopt;
    require(value && o.may_be(*value), Fault::input, where, ": ", form->mnemonic, ": expected ",
            expected_of(o), ", got ", got);
    word |= *value << o.low | o.flag;
  }
  require(words.empty(), Fault::input, where, ": ", form->mnemonic,
          ": expected the end of the line, got '", words.empty() ? "" : words[0], "'");
  return encode(decode(word, where));
}

}  // namespace

std::vector<std::uint64_t> assemble(std::string_view text) {
  std::vector<std::uint64_t> out;
  for (int line = 1; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view code = text.substr(0, std::min(text.find('#'), end));
    const Words words = split(code, " \t\r,");
    if (!words.empty()) out.push_back(assemble_line(words, "line " + std::to_string(line)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string disassemble(std::uint64_t word) {
  const Form& form = form_of(encode(decode(word)));
  std::string text = form.mnemonic;
  const char* separator = " ";
  for (const Operand& o : form.operands) {
    if (!o.is_in(word)) continue;
    const std::uint64_t value = o.value(word);
    text += separator + (o.name ? std::string(o.name) + "=" : "") +
            (o.kind == Operand::Kind::number && o.width == 32 ? hex(value) : text_of(o, value));
    separator = ", ";
  }
  return text;
}

std::string disassemble(std::span<const std::uint64_t> words) {
  std::string text;
  for (const std::uint64_t word : words) text += disassemble(word) + '\n';
  return text;
}

}  // namespace tern::rtl
