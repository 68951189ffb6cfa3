// A value of JSON, and a line of a .jsonl file with the text in "text" or, deeper, in "a.b".
#include "data/io/json.h"
#include "data/text/utf8.h"
#include "tests/fuzz/fuzz.h"

namespace tern::fuzz {

void run(std::string_view input) {
  nlohmann::json value;
  const bool valid = works({Fault::input}, [&] {
    value = parse_json(input, "m");
    expect(parse_json(value.dump(), "again") == value, "a value differs when it is read again");
  });
  for (const std::string field : {"text", "a.b"}) {
    const JsonLine line = read_json_line(input, field);
    if (!line.problem.empty()) continue;
    expect(is_utf8(line.text), "a text that is not UTF-8");
    const nlohmann::json entry = nlohmann::json::parse(input);
    const auto equals = [&](const nlohmann::json& text) { return text == line.text; };
    const auto inner = entry.find("a");
    expect((entry.contains(field) && equals(entry[field])) ||
               (field == "a.b" && inner != entry.end() && inner->is_object() &&
                inner->contains("b") && equals((*inner)["b"])),
           "a text that is not in its field");
  }
  if (valid && value.is_object() && value.contains("text") && value["text"].is_string())
    expect(read_json_line(input).problem.empty(), "a line with a text is refused");
}

}  // namespace tern::fuzz
