// JSON that others may have damaged or made: parsed strictly, with limits.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tern {

// One JSON value. Fault::input, naming where, for bad syntax or UTF-8, a key given twice, nesting
// deeper than 64, or a NUL byte. Bound the text's size before (read_file does).
nlohmann::json parse_json(std::string_view text, const std::string& where);

}  // namespace tern
