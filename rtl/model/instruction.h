// The accelerator's instructions: 64-bit words, and one table that says what each word holds. The
// assembler, the decoder and the documentation follow that table.
//
// From the highest bit: op 4, vd 4, va 4, vb 4, pa 2, pb 2, sd 4, sa 4, flags 4, imm 32. Registers:
// v0 to v9, p0 to p3, s0 to s15, qa and qb; n0 to n3 are the lengths of the image's header.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tern::rtl {

enum class Op : std::uint8_t {
  halt,
  ldv,
  stv,
  ldp,
  lds,
  mul,
  mac,
  sig,
  silu,
  scan,
  stat,
  qnt,
  sop,
  tmm,
  amax,
  loop
};

inline constexpr int kVectorRegisters = 10, kNormRegisters = 4, kScalarRegisters = 16;
inline constexpr int kCodeRegisters = 2, kLengths = 4;
inline constexpr std::size_t kMostWords = 256;         // of a program
inline constexpr std::uint32_t kMemoryAlignment = 64;  // bytes, of everything that has an address

// Where an address counts from: 0; what LOOP has added; `pass` or `token` vectors of the
// instruction's length.
enum class Base : std::uint8_t { zero, layer, pass, token };
enum class ScalarFunction : std::uint8_t { mul, add, div, root, rcp, max };

// Flags beside the length in bits 0 and 1; bits 2 and 3 are the base where there is an address.
inline constexpr int kNormOperand = 4;                  // mul: its second operand is a p register
inline constexpr int kBound = 4;                        // sig
inline constexpr int kBoundLater = 8;                   // sig: the bound counts from pass 1 on
inline constexpr int kOfState = 4;                      // silu
inline constexpr int kWithNorm = 4;                     // qnt: squares behind the block's norm, too
inline constexpr int kWithSquares = 8;                  // qnt
inline constexpr int kStatistic = 8;                    // mul, mac
inline constexpr std::uint32_t kMulSquares = 1u << 16;  // in mul's imm

struct Instruction {
  Op op = Op::halt;
  int vd = 0, va = 0, vb = 0, pa = 0, pb = 0, sd = 0, sa = 0, flags = 0;
  std::uint32_t imm = 0;
  bool operator==(const Instruction&) const = default;

  bool has(int flag) const { return (flags & flag) != 0; }
  int length() const { return flags & 3; }
  Base base() const { return Base(flags >> 2); }
  int shift() const { return int(imm & 63); }        // mul; mac's fraction
  int narrow() const { return int(imm >> 8 & 15); }  // of sums: mul, mac, sig, silu
  std::uint32_t passes() const {                     // loop
    return std::uint32_t(vd << 12 | va << 8 | vb << 4 | pa << 2 | pb);
  }
  ScalarFunction function() const { return ScalarFunction(imm & 7); }
  std::size_t target() const { return std::size_t(sd << 4 | sa); }  // loop
};

// One operand of a form, as bits of the word.
struct Operand {
  enum class Kind { vector, norm, scalar, code, length, number, base };
  const char* name;  // in the assembler "name=value"; nullptr: by position
  Kind kind = Kind::number;
  int low = 0, width = 0;             // bits of the word
  std::uint64_t first = 0, last = 0;  // values that it may have
  std::uint64_t multiple = 1;         // of this
  std::uint64_t flag = 0;             // the bit of the word that says that it is there; 0: always

  std::uint64_t mask() const { return ((std::uint64_t(1) << width) - 1) << low; }
  std::uint64_t value(std::uint64_t word) const { return (word & mask()) >> low; }
  bool is_in(std::uint64_t word) const { return flag == 0 || (word & flag) != 0; }
  bool may_be(std::uint64_t v) const { return v >= first && v <= last && v % multiple == 0; }
};
std::string text_of(const Operand& operand, std::uint64_t value);  // "v3", "layer", "17"
std::string hex(std::uint64_t word);                               // "0x1f"
std::string expected_of(const Operand& operand);                   // "v0 to v9", for messages

// A way to write an operation; some operations have two.
struct Form {
  const char* mnemonic;
  Op op;
  std::uint64_t fixed;   // bits of the word that this form sets, below the op
  std::uint64_t chosen;  // bits that tell the forms of an operation apart
  std::vector<Operand> operands;
};
const std::vector<Form>& forms();
inline constexpr int kOpAt = 60;  // the lowest bit of the op
// Fault::input if there is none
const Form& form_of(std::uint64_t word, std::string_view where = "instruction");

// The word of an instruction, and back. Fault::input for what is no instruction: which field,
// expected and got. where: begins the message
std::uint64_t encode(const Instruction& instruction, std::string_view where = "instruction");
Instruction decode(std::uint64_t word, std::string_view where = "instruction");
// A program: also its length, HALT at its end, loops that go back and do not cross.
std::vector<Instruction> decode_program(std::span<const std::uint64_t> words);

}  // namespace tern::rtl
