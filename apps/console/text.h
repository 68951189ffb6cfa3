// Text for a terminal: numbers in a few ASCII characters (182k, 1.5 GB, 1h07m), and text of a
// model, a file or a command line made safe to show.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace tern {

// Numbers. One that is not finite, or a negative duration, reads "?".
std::string count_text(double n);           // 950, 1.2k, 182k, 4.72M, 1.36B: three digits
std::string bytes_text(double bytes);       // 512 B, 1.5 kB, 61 GB: powers of 1000
std::string duration_text(double seconds);  // 340ms, 2.1s, 45s, 4m05s, 1h07m, 3d04h
std::string share_text(double share);       // 0.31 -> 31%, 0.004 -> 0.4%

// For a terminal: bytes that move the cursor, change colours or are no UTF-8 show as \xNN. Newlines
// and tabs stay.
std::string printable(std::string_view text);

// One argument of a command, on one line, as a shell (bash, zsh) reads it back: as it is, in single
// quotes, or as $'\n' where there are control characters or bytes that are no UTF-8.
std::string shell_word(std::string_view text);
std::string shell_command(std::span<const std::string> arguments);

}  // namespace tern
