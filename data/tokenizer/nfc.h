// Unicode's normalisation form C.
#pragma once

#include <string>
#include <string_view>

namespace tern {

// of UTF-8 text; Fault::memory where it does not fit
std::string nfc(std::string_view text);

// Whether a text may be divided before this character: both sides, normalised, are the whole.
bool begins_composition(char32_t code);

}  // namespace tern
