#include "rtl/model/instruction.h"

#include <algorithm>
#include <sstream>

#include "core/check.h"

namespace tern::rtl {
namespace {

using Kind = Operand::Kind;

constexpr int kVd = 56, kVa = 52, kVb = 48, kPa = 46, kPb = 44, kSd = 40, kSa = 36,
              kFlags = 32;  // lowest bits of the fields below the op

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

Form form(const char* mnemonic, Op op, std::vector<Operand> operands) {
  return {mnemonic, op, 0, 0, std::move(operands)};
}
// One of two forms of an operation, which a flag tells apart.
Form form(const char* mnemonic, Op op, int flag, bool set, std::vector<Operand> operands) {
  return {mnemonic, op, set ? flag_bit(flag) : 0, flag_bit(flag), std::move(operands)};
}
Form scalar_form(const char* mnemonic, ScalarFunction function, int inputs) {
  constexpr std::uint64_t kFunction = 7;  // in imm
  Form out{mnemonic, Op::sop, std::uint64_t(function), kFunction, {scalar_at(kSd)}};
  if (inputs > 0) out.operands.push_back(scalar_at(kSa));
  if (inputs > 1) out.operands.push_back(scalar_at(kVb));
  return out;
}

// What they mean: docs/accelerator.md.
std::vector<Form> make_forms() {
  const Operand count = number(nullptr, kVa, 4, 1, 15), index = number(nullptr, 0, 32, 0, ~0u),
                word = number(nullptr, kSa, 8, 0, kMostWords - 1),
                passes = number("passes", kPb, 16, 1, 0xffff),
                step = number("step", kFlags, 4, 1, 15), from = number("from", kFlags + 3, 1, 0, 1),
                fraction = number("fraction", 0, 6, 0, 40);
  const Operand stride = {"stride", Kind::number, 0, 32, 0, ~0u, kMemoryAlignment};
  return {
      form("halt", Op::halt, {}),
      form("ldv", Op::ldv, {vector_at(kVd), length_at(), base_at(), address()}),
      form("stv", Op::stv, {vector_at(kVa), length_at(), base_at(), address()}),
      form("ldp", Op::ldp, {norm_at(kPa), length_at(), base_at(), address()}),
      form("lds", Op::lds, {scalar_at(kSd), count, base_at(Base::layer), address()}),
      form("mul", Op::mul, kNormOperand, false, product(vector_at(kVb))),
      form("mulp", Op::mul, kNormOperand, true, product(norm_at(kPa))),
      form("mac", Op::mac,
           {vector_at(kVd), vector_at(kVb), vector_at(kVa), scalar_at(kSa), length_at(), fraction,
            narrow(), statistic_with()}),
      form("sig", Op::sig,
           {vector_at(kVd), vector_at(kVa), scalar_at(kSa), length_at(), narrow(),
            norm_at(kPa, "open", flag_bit(kBound)), from}),
      form("silu", Op::silu, kOfState, false,
           {vector_at(kVd), vector_at(kVa), scalar_at(kSa), length_at(), narrow()}),
      form("siluh", Op::silu, kOfState, true, {vector_at(kVd), vector_at(kVa), length_at()}),
      form("scan", Op::scan, {vector_at(kVd), vector_at(kVa), vector_at(kVb), length_at()}),
      form("stat", Op::stat, {vector_at(kVa), length_at(), norm_at(kPb)}),
      form("qnt", Op::qnt,
           {code_at(kVd), vector_at(kVa), length_at(), norm_at(kPa), scalar_at(kSa),
            scalar_at(kSd, "squares", flag_bit(kWithSquares)),
            norm_at(kPb, "norm", flag_bit(kWithNorm)),
            scalar_at(kVb, "weighed", flag_bit(kWithNorm))}),
      scalar_form("smul", ScalarFunction::mul, 2),
      scalar_form("sadd", ScalarFunction::add, 2),
      scalar_form("sdiv", ScalarFunction::div, 2),
      scalar_form("root", ScalarFunction::root, 1),
      scalar_form("rcp", ScalarFunction::rcp, 0),
      scalar_form("smax", ScalarFunction::max, 0),
      form("tmm", Op::tmm,
           {vector_at(kVd), code_at(kVa), length_at(), length_at(kPa), base_at(Base::layer),
            address()}),
      form("amax", Op::amax, {vector_at(kVa), length_at(), base_at(Base::pass, 2), index}),
      form("loop", Op::loop, {word, passes, step, stride}),
  };
}

constexpr std::array<std::string_view, 4> kBases = {"at", "layer", "pass", "token"};

constexpr std::string_view kLetters = "vpsqn";  // of kinds of registers, and of lengths

// Refuses a word that is no instruction.
void require_legal(std::uint64_t word, std::string_view where) {
  const Form& form = form_of(word, where);
  std::uint64_t used = std::uint64_t(15) << kOpAt | form.chosen;
  int at = 0;
  for (const Operand& o : form.operands) {
    ++at;
    used |= o.flag;
    if (!o.is_in(word)) continue;
    used |= o.mask();
    require(o.may_be(o.value(word)), Fault::input, where, ": ", form.mnemonic, ": operand ", at,
            ": expected ", expected_of(o), ", got ", o.value(word), " in ", hex(word));
  }
  require((word & ~used) == 0, Fault::input, where, ": ", form.mnemonic,
          ": expected zeros in the bits ", hex(~used), " that it does not use, got ",
          hex(word & ~used), " in ", hex(word));
}

std::uint64_t word_of(const Instruction& i) {
  const auto field = [](auto value, int low) { return std::uint64_t(value) << low; };
  return field(i.op, kOpAt) | field(i.vd, kVd) | field(i.va, kVa) | field(i.vb, kVb) |
         field(i.pa, kPa) | field(i.pb, kPb) | field(i.sd, kSd) | field(i.sa, kSa) |
         field(i.flags, kFlags) | i.imm;
}

Instruction fields_of(std::uint64_t word) {
  const auto field = [&](int low, int width) {
    return int(word >> low & ((std::uint64_t(1) << width) - 1));
  };
  return {.op = Op(field(kOpAt, 4)),
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

std::string hex(std::uint64_t word) {
  std::ostringstream out;
  out << "0x" << std::hex << word;
  return out.str();
}

std::string text_of(const Operand& o, std::uint64_t value) {
  if (o.kind == Kind::base) return std::string(kBases[value]);
  if (o.kind == Kind::code) return value == 0 ? "qa" : "qb";
  const auto kind = std::size_t(o.kind);
  return std::string(kind < kLetters.size() ? kLetters.substr(kind, 1) : "") +
         std::to_string(value);
}

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

const std::vector<Form>& forms() {
  static const std::vector<Form> all = make_forms();
  return all;
}

const Form& form_of(std::uint64_t word, std::string_view where) {
  const auto at = std::ranges::find_if(forms(), [&](const Form& f) {
    return f.op == Op(word >> kOpAt) && (word & f.chosen) == f.fixed;
  });
  require(at != forms().end(), Fault::input, where, ": sop: expected a function from 0 to 5, got ",
          word & 7, " in ", hex(word));
  return *at;
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
          form_of(words.back()).mnemonic);
  return out;
}

}  // namespace tern::rtl
