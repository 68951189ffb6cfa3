// Text from a model or a file, made safe for a terminal: what could move the cursor, change colours
// or is no UTF-8 shows as \xNN. Newlines and tabs stay.
#pragma once

#include <string>
#include <string_view>

namespace tern {

std::string printable(std::string_view text);

}  // namespace tern
