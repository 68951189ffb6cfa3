#include "data/io/json.h"

#include <set>
#include <vector>

#include "core/check.h"

namespace tern {

nlohmann::json parse_json(std::string_view text, const std::string& where) {
  using Event = nlohmann::json::parse_event_t;
  constexpr int kMaxDepth = 64;
  // the parser would take it for the end of the text
  require(text.find('\0') == std::string_view::npos, Fault::input, where, ": a NUL byte in JSON");
  std::vector<std::set<std::string>> keys;  // of each open object
  const auto watch = [&](int depth, Event event, nlohmann::json& value) {
    require(depth <= kMaxDepth, Fault::input, where, ": expected nesting up to ", kMaxDepth);
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key)
      require(keys.back().insert(value.get<std::string>()).second, Fault::input, where,
              ": the key ", value.dump(), " is given twice");
    return true;
  };
  try {
    return nlohmann::json::parse(text, watch);
  } catch (const nlohmann::json::exception& e) {
    fail(Fault::input, where, ": not valid JSON: ", e.what());
  }
}

}  // namespace tern
