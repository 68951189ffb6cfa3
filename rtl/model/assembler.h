// Programs as text: a line for each instruction, its operands separated by commas.
#pragma once

#include "rtl/model/instruction.h"

namespace tern::rtl {

// Text, a line each; "#" begins a comment. Fault::input with the line, expected and got.
std::vector<std::uint64_t> assemble(std::string_view text);
std::string disassemble(std::uint64_t word);
std::string disassemble(std::span<const std::uint64_t> words);

}  // namespace tern::rtl
