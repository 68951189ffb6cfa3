#include "rtl/model/instruction.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "core/check.h"

namespace tern::rtl {
namespace {

using Kind = Operand::Kind;
using Words = std::vector<std::string_view>;

constexpr int kOp = 60, kVd = 56, kVa = 52, kVb = 48, kPa = 46, kPb = 44, kSd = 40, kSa = 36,
              kFlags = 32;  // lowest bits of the fields

constexpr std::uint64_t flag_bit(int flag) {
  return std::uint64_t(flag) << kFlags;
}

Operand vector_at(int low, const char* name = nullptr) {
  return {name, Kind::vector, low, 4, 0, kVectorRegisters - 1};
}
Operand norm_at(int low, const char* name = nullptr, std::uint64_t flag = 0) {
  return {name, Kind::norm, low, 2, 0, kNormRegisters - 1, 1, flag};
}
Operand scalar_at(int low, const char* name = nullptr, std::uint64_t flag = 0) {
  return {name, Kind::scalar, low, 4, 0, kScalarRegisters - 1, 1, flag};
}
Operand code_at(int low) {
  return {nullptr, Kind::code, low, 4, 0, kCodeRegisters - 1};
}
Operand length_at(int low = kFlags) {
  return {nullptr, Kind::length, low, 2, 0, kLengths - 1};
}
Operand base_at(Base last = Base::token, std::uint64_t multiple = 1) {
  return {nullptr, Kind::base, kFlags + 2, 2, 0, std::uint64_t(last), multiple};
}
Operand address() {
  return {nullptr, Kind::number, 0, 32, 0, 0xffff'ffff, kMemoryAlignment};
}
Operand number(const char* name, int low, int width, std::uint64_t first, std::uint64_t last) {
  return {name, Kind::number, low, width, first, last};
}
Operand narrow() {
  return number("narrow", 8, 4, 0, 15);
}
Operand statistic_with() {
  return norm_at(kPb, "stat", flag_bit(kStatistic));
}

std::vector<Operand> product(const Operand& second) {
  return {vector_at(kVd),
          vector_at(kVa),
          second,
          length_at(),
          number("shift", 0, 6, 0, 40),
          narrow(),
          scalar_at(kSd, "squares", kMulSquares),
          statistic_with()};
}

Form scalar_form(const char* mnemonic, ScalarFunction function, int inputs, const char* meaning) {
  constexpr std::uint64_t kFunction = 7;  // in imm
  Form form{mnemonic, Op::sop, std::uint64_t(function), kFunction, {scalar_at(kSd)}, meaning};
  if (inputs > 0) form.operands.push_back(scalar_at(kSa));
  if (inputs > 1) form.operands.push_back(scalar_at(kVb));
  return form;
}

std::vector<Form> make_forms() {
  return {
      {"halt", Op::halt, 0, 0, {}, "the token is done"},
      {"ldv",
       Op::ldv,
       0,
       0,
       {vector_at(kVd), length_at(), base_at(), address()},
       "vd = 32-bit words of memory"},
      {"stv", Op::stv, 0, 0, {vector_at(kVa), length_at(), base_at(), address()}, "memory = va"},
      {"ldp",
       Op::ldp,
       0,
       0,
       {norm_at(kPa), length_at(), base_at(), address()},
       "pa = 16-bit words of memory"},
      {"lds",
       Op::lds,
       0,
       0,
       {scalar_at(kSd), number(nullptr, kVa, 4, 1, 15), base_at(Base::layer), address()},
       "so many scalars from sd on = memory"},
      {"mul", Op::mul, 0, flag_bit(kNormOperand), product(vector_at(kVb)),
       "vd = va vb / 2^shift; squares: sum of va^2; stat: of vd with p"},
      {"mulp", Op::mul, flag_bit(kNormOperand), flag_bit(kNormOperand), product(norm_at(kPa)),
       "the same with pa as second operand"},
      {"mac",
       Op::mac,
       0,
       0,
       {vector_at(kVd), vector_at(kVb), vector_at(kVa), scalar_at(kSa), length_at(),
        number("fraction", 0, 6, 0, 40), narrow(), statistic_with()},
       "vd = vb + va sa; stat: of vd with p"},
      {"sig",
       Op::sig,
       0,
       0,
       {vector_at(kVd), vector_at(kVa), scalar_at(kSa), length_at(), narrow(),
        norm_at(kPa, "open", flag_bit(kBound)), number("from", kFlags + 3, 1, 0, 1)},
       "vd = open sigmoid(-va sa); from=1: without open in pass 0"},
      {"silu",
       Op::silu,
       0,
       flag_bit(kOfState),
       {vector_at(kVd), vector_at(kVa), scalar_at(kSa), length_at(), narrow()},
       "vd = SiLU(va sa)"},
      {"siluh",
       Op::silu,
       flag_bit(kOfState),
       flag_bit(kOfState),
       {vector_at(kVd), vector_at(kVa), length_at()},
       "vd = SiLU(va) of a state"},
      {"scan",
       Op::scan,
       0,
       0,
       {vector_at(kVd), vector_at(kVa), vector_at(kVb), length_at()},
       "vd += va (vb - vd)"},
      {"stat",
       Op::stat,
       0,
       0,
       {vector_at(kVa), length_at(), norm_at(kPb)},
       "statistic register = max |va pb|, max |va|"},
      {"qnt",
       Op::qnt,
       0,
       0,
       {code_at(kVd), vector_at(kVa), length_at(), norm_at(kPa), scalar_at(kSa),
        scalar_at(kSd, "squares", flag_bit(kWithSquares)),
        norm_at(kPb, "norm", flag_bit(kWithNorm)), scalar_at(kVb, "weighed", flag_bit(kWithNorm))},
       "codes of va pa, sa its rcp; squares: sum of va^2; weighed: of (va norm)^2"},
      scalar_form("smul", ScalarFunction::mul, 2, "sd = sa sb"),
      scalar_form("sadd", ScalarFunction::add, 2, "sd = sa + sb"),
      scalar_form("sdiv", ScalarFunction::div, 2, "sd = sa / sb; by zero: zero"),
      scalar_form("root", ScalarFunction::root, 1, "sd = root of sa"),
      scalar_form("rcp", ScalarFunction::rcp, 0,
                  "sd = the reciprocal that qnt multiplies by, of the statistic register"),
      scalar_form("smax", ScalarFunction::max, 0, "sd = max |v| of the statistic register"),
      {"tmm",
       Op::tmm,
       0,
       0,
       {vector_at(kVd), code_at(kVa), length_at(), length_at(kPa), base_at(Base::layer), address()},
       "vd = sums of tiles and codes; lengths: rows, columns"},
      {"amax",
       Op::amax,
       0,
       0,
       {vector_at(kVa), length_at(), base_at(Base::pass, 2),
        number(nullptr, 0, 32, 0, 0xffff'ffff)},
       "the largest of va, if larger than what there is; its index counts from the number"},
      {"loop",
       Op::loop,
       0,
       0,
       {number(nullptr, kSa, 8, 0, kMostWords - 1),
        number("passes", kPb, 16, 1, 0xffff),
        number("step", kFlags, 4, 1, 15),
        {"stride", Kind::number, 0, 32, 0, 0xffff'ffff, kMemoryAlignment}},
       "pass += step; if pass < passes: the base += stride, back to the word; else both are 0"},
  };
}

constexpr std::array<std::string_view, 4> kBases = {"at", "layer", "pass", "token"};

std::uint64_t mask_of(const Operand& o) {
  return ((std::uint64_t(1) << o.width) - 1) << o.low;
}
std::uint64_t value_of(const Operand& o, std::uint64_t word) {
  return (word & mask_of(o)) >> o.low;
}
bool is_there(const Operand& o, std::uint64_t word) {
  return o.flag == 0 || (word & o.flag) != 0;
}

const char* letter_of(Kind kind) {
  switch (kind) {
    case Kind::vector:
      return "v";
    case Kind::norm:
      return "p";
    case Kind::scalar:
      return "s";
    case Kind::code:
      return "q";
    case Kind::length:
      return "n";
    default:
      return "";
  }
}

std::string text_of(const Operand& o, std::uint64_t value) {
  if (o.kind == Kind::base) return std::string(kBases[value]);
  if (o.kind == Kind::code) return value == 0 ? "qa" : "qb";
  return letter_of(o.kind) + std::to_string(value);
}

// What an operand may be, for messages.
std::string expected_of(const Operand& o) {
  std::string text = o.name ? std::string(o.name) + "=" : "";
  if (o.kind == Kind::base) {
    for (std::uint64_t v = o.first; v <= o.last; v += o.multiple)
      text += (v > o.first ? ", " : "") + text_of(o, v);
    return text;
  }
  text += text_of(o, o.first) + " to " + text_of(o, o.last);
  return o.multiple > 1 ? text + ", a multiple of " + std::to_string(o.multiple) : text;
}

bool may_be(const Operand& o, std::uint64_t value) {
  return value >= o.first && value <= o.last && value % o.multiple == 0;
}

std::string hex(std::uint64_t word) {
  std::ostringstream out;
  out << "0x" << std::hex << word;
  return out.str();
}

const Form& form_of(std::uint64_t word, std::string_view where) {
  const auto at = std::ranges::find_if(forms(), [&](const Form& f) {
    return f.op == Op(word >> kOp) && (word & f.chosen) == f.fixed;
  });
  require(at != forms().end(), Fault::input, where, ": sop: expected a function from 0 to 5, got ",
          word & 7, " in ", hex(word));
  return *at;
}

// Refuses a word that is no instruction.
void require_legal(std::uint64_t word, std::string_view where) {
  const Form& form = form_of(word, where);
  std::uint64_t used = std::uint64_t(15) << kOp | form.chosen;
  int at = 0;
  for (const Operand& o : form.operands) {
    ++at;
    used |= o.flag;
    if (!is_there(o, word)) continue;
    used |= mask_of(o);
    require(may_be(o, value_of(o, word)), Fault::input, where, ": ", form.mnemonic, ": operand ",
            at, ": expected ", expected_of(o), ", got ", value_of(o, word), " in ", hex(word));
  }
  require((word & ~used) == 0, Fault::input, where, ": ", form.mnemonic,
          ": expected zeros in the bits ", hex(~used), " that it does not use, got ",
          hex(word & ~used), " in ", hex(word));
}

std::uint64_t word_of(const Instruction& i) {
  const auto field = [](auto value, int low) { return std::uint64_t(value) << low; };
  return field(i.op, kOp) | field(i.vd, kVd) | field(i.va, kVa) | field(i.vb, kVb) |
         field(i.pa, kPa) | field(i.pb, kPb) | field(i.sd, kSd) | field(i.sa, kSa) |
         field(i.flags, kFlags) | i.imm;
}

Instruction fields_of(std::uint64_t word) {
  const auto field = [&](int low, int width) {
    return int(word >> low & ((std::uint64_t(1) << width) - 1));
  };
  return {.op = Op(field(kOp, 4)),
          .vd = field(kVd, 4),
          .va = field(kVa, 4),
          .vb = field(kVb, 4),
          .pa = field(kPa, 2),
          .pb = field(kPb, 2),
          .sd = field(kSd, 4),
          .sa = field(kSa, 4),
          .flags = field(kFlags, 4),
          .imm = std::uint32_t(word)};
}

void require_fields(const Instruction& i, std::string_view where) {
  require(fields_of(word_of(i)) == i, Fault::input, where,
          ": expected every field to fit its bits, got op ", int(i.op), ", vd ", i.vd, ", va ",
          i.va, ", vb ", i.vb, ", pa ", i.pa, ", pb ", i.pb, ", sd ", i.sd, ", sa ", i.sa,
          ", flags ", i.flags);
}

}  // namespace

const std::vector<Form>& forms() {
  static const std::vector<Form> all = make_forms();
  return all;
}

std::uint64_t encode(const Instruction& instruction, std::string_view where) {
  require_fields(instruction, where);
  const std::uint64_t word = word_of(instruction);
  require_legal(word, where);
  return word;
}

Instruction decode(std::uint64_t word, std::string_view where) {
  require_legal(word, where);
  return fields_of(word);
}

std::vector<Instruction> decode_program(std::span<const std::uint64_t> words) {
  require(!words.empty() && words.size() <= kMostWords, Fault::input, "program: expected 1 to ",
          kMostWords, " words, got ", words.size());
  std::vector<Instruction> out;
  std::size_t free = 0;  // the first word that a loop may go back to
  for (const std::uint64_t word : words) {
    const std::string where = "program: word " + std::to_string(out.size());
    out.push_back(decode(word, where));
    if (out.back().op != Op::loop) continue;
    const std::size_t target = out.back().target();
    require(target >= free && target + 1 < out.size(), Fault::input, where,
            ": loop: expected a word behind the loop before, from ", free,
            " on, and before this one, got ", target);
    free = out.size();
  }
  require(out.back().op == Op::halt, Fault::input, "program: expected halt at its end, got ",
          disassemble(words.back()));
  return out;
}

namespace {

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
  const auto among = [&](const auto& names) -> std::optional<std::uint64_t> {
    const auto at = std::ranges::find(names, text);
    if (at == names.end()) return std::nullopt;
    return std::uint64_t(at - names.begin());
  };
  if (o.kind == Kind::base) return among(kBases);
  if (o.kind == Kind::code) return among(std::array<std::string_view, 2>{"qa", "qb"});
  if (!text.starts_with(letter_of(o.kind))) return std::nullopt;
  return number_of(text.substr(std::string_view(letter_of(o.kind)).size()));
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
  std::uint64_t word = std::uint64_t(form->op) << kOp | form->fixed;
  for (const Operand& o : form->operands) {
    const std::string got =
        words.empty() ? "the end of the line" : "'" + std::string(words[0]) + "'";
    const auto text = take(o, words);
    if (!text && o.flag != 0) continue;
    const auto value = text ? parse(o, *text) : std::nullopt;
    require(value && may_be(o, *value), Fault::input, where, ": ", form->mnemonic, ": expected ",
            expected_of(o), ", got ", got);
    word |= *value << o.low | o.flag;
  }
  require(words.empty(), Fault::input, where, ": ", form->mnemonic,
          ": expected the end of the line, got '", words.empty() ? "" : words[0], "'");
  require_legal(word, where);
  return word;
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
  require_legal(word, "instruction");
  const Form& form = form_of(word, "instruction");
  std::string text = form.mnemonic;
  const char* separator = " ";
  for (const Operand& o : form.operands) {
    if (!is_there(o, word)) continue;
    const std::uint64_t value = value_of(o, word);
    text += separator + (o.name ? std::string(o.name) + "=" : "") +
            (o.kind == Kind::number && o.width == 32 ? hex(value) : text_of(o, value));
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
