// Pictures by gnuplot: its input is a text, its output a PNG.
#pragma once

#include <array>
#include <filesystem>
#include <string>

namespace tern {

// Okabe and Ito's palette, which colour-blind people can tell apart, yellow left out.
inline constexpr std::array kPalette = {"0072B2", "D55E00", "009E73", "CC79A7",
                                        "E69F00", "56B4E9", "000000"};

// 'text' as gnuplot quotes it: nothing but the quote itself is special there
std::string gnuplot_text(const std::string& text);

// Runs a script that writes a PNG to its standard output; replaces `out` as a whole.
// Fault::usage: gnuplot is missing; Fault::disk.
void draw_with_gnuplot(const std::string& script, const std::filesystem::path& out);

}  // namespace tern
