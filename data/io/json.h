// JSON of untrusted files, parsed strictly and with limits.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tern {

// One JSON value. Fault::input, naming where, for bad syntax or UTF-8, a key given twice, nesting
// deeper than 64, or a NUL byte. Bound the text's size before (read_file does).
nlohmann::json parse_json(std::string_view text, const std::string& where);

// The first 80 bytes of a text of a file as a JSON string in ASCII: on one line, whatever it holds.
std::string quoted_text(std::string_view text);

// A member of an object, and one that is a whole number from 0 to 2^53: every reader of JSON agrees
// on those, and sums of a few do not overflow. Fault::input, naming where and the key.
const nlohmann::json& json_member(const nlohmann::json& object, const char* key,
                                  const std::string& where);
std::uint64_t json_number(const nlohmann::json& object, const char* key, const std::string& where);

// One line of a .jsonl file: the text in one field of its object.
struct JsonLine {
  std::string text;
  std::string problem;  // why the line cannot be used; empty: none
};

// Strict JSON: one object, UTF-8, nothing after it, no field twice at its top level, at most 64
// levels deep. Other fields are ignored. field "a.b" is field b of the object in field a, or a
// field whose name is "a.b".
JsonLine read_json_line(std::string_view line, const std::string& field = "text");

}  // namespace tern
