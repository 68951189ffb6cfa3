// Text of a model, a file or a command line made safe to show.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace tern {

// For a terminal: bytes that move the cursor, change colours or are no UTF-8 show as \xNN. Newlines
// and tabs stay.
std::string printable(std::string_view text);

// One argument of a command, on one line, as a shell (bash, zsh) reads it back: as it is, in single
// quotes, or as $'\n' where there are control characters or bytes that are no UTF-8.
std::string shell_word(std::string_view text);
std::string shell_command(std::span<const std::string> arguments);

}  // namespace tern
