// One line of a .jsonl file: the text in the "text" field of its object.
#pragma once

#include <string>
#include <string_view>

namespace tern {

struct JsonLine {
  std::string text;
  std::string problem;  // not empty: why the line cannot be used
};

// Strict JSON: one object, UTF-8, nothing after it, no field twice at its top level, at most 64
// levels deep. Other fields are ignored.
JsonLine read_json_line(std::string_view line);

}  // namespace tern
