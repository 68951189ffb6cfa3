// One line of a .jsonl file: the text in one field of its object.
#pragma once

#include <string>
#include <string_view>

namespace tern {

struct JsonLine {
  std::string text;
  std::string problem;  // not empty: why the line cannot be used
};

// Strict JSON: one object, UTF-8, nothing after it, no field twice at its top level, at most 64
// levels deep. Other fields are ignored. field "a.b" is field b of the object in field a, or a
// field whose name is "a.b".
JsonLine read_json_line(std::string_view line, const std::string& field = "text");

}  // namespace tern
