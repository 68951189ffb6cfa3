// Whole texts from standard input and to standard output, for commands that are parts of a pipe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tern {

inline constexpr std::string_view kStandardInput = "-";  // as the name of a file

// All bytes of a file, or of standard input. Fault::input if it cannot be read or has more than
// `most` bytes.
std::string read_input(const std::string& name, std::uint64_t most);

// Written when it returns. Fault::disk.
void write_output(std::string_view bytes);

}  // namespace tern
