#include "data/io/json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "core/check.h"

namespace tern {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 64;

// Takes the field from the parser's events, so that the rest of the object costs no memory.
class TextField : public Json::json_sax_t {
 public:
  TextField(JsonLine& line, const std::string& field) : line_(line), field_(field) {}

  bool null() override { return value("null"); }
  bool boolean(bool) override { return value("a truth value"); }
  bool number_integer(number_integer_t) override { return value("a number"); }
  bool number_unsigned(number_unsigned_t) override { return value("a number"); }
  bool number_float(number_float_t, const string_t&) override { return value("a number"); }
  bool binary(binary_t&) override { return value("bytes"); }
  bool string(string_t& text) override {
    if (!wanted_) return value("text");
    wanted_ = false;
    line_.text = std::move(text);
    return true;
  }
  bool key(string_t& name) override {
    key_ = name;
    wanted_ = field_.size() == path_.size() + name.size() && field_.starts_with(path_) &&
              field_.ends_with(name);
    const bool twice = (depth_ == 1 && !names_.insert(name).second) || (wanted_ && found_);
    found_ = found_ || wanted_;
    return !twice || stop("the field '" + name.substr(0, 40) + "' is there twice");
  }
  bool start_object(std::size_t) override { return value("an object") && deeper("."); }
  bool end_object() override { return shallower(); }
  bool start_array(std::size_t) override { return value("a list") && deeper("[]."); }
  bool end_array() override { return shallower(); }
  bool parse_error(std::size_t position, const std::string&, const Json::exception&) override {
    return stop("not valid JSON at character " + std::to_string(position));
  }

  bool found() const { return found_; }

 private:
  bool stop(const std::string& problem) {
    line_.problem = problem;
    return false;
  }
  // a value of this kind begins
  bool value(const char* kind) {
    if (depth_ == 0 && std::string_view(kind) != "an object")
      return stop(std::string("expected an object, got ") + kind);
    if (wanted_) return stop("expected text in the field '" + field_ + "', got " + kind);
    return true;
  }
  bool deeper(std::string_view mark) {
    lengths_.push_back(path_.size());
    if (depth_ > 0) path_.append(key_).append(mark);
    return ++depth_ <= kMaxDepth || stop("nested more than 64 levels deep");
  }
  bool shallower() {
    path_.resize(lengths_.back());
    lengths_.pop_back();
    return --depth_, true;
  }

  JsonLine& line_;
  const std::string& field_;
  std::string path_, key_;            // "a.b." of the object that is being read; its last key
  std::vector<std::size_t> lengths_;  // of path_ outside of each level
  std::set<std::string> names_;
  int depth_ = 0;
  bool wanted_ = false, found_ = false;
};

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& where) {
  using Event = Json::parse_event_t;
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

std::string quoted_text(std::string_view text) {
  return Json(text.substr(0, 80)).dump(-1, ' ', true, Json::error_handler_t::replace);
}

const nlohmann::json& json_member(const nlohmann::json& object, const char* key,
                                  const std::string& where) {
  require(object.is_object() && object.contains(key), Fault::input, where, ": the key \"", key,
          "\" is missing");
  return object.at(key);
}

std::uint64_t json_number(const nlohmann::json& object, const char* key, const std::string& where) {
  const nlohmann::json& value = json_member(object, key, where);
  require(value.is_number_integer() && value >= 0 && value <= std::int64_t(1) << 53, Fault::input,
          where, ": ", key, ": expected a whole number from 0 to 2^53, got ",
          value.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 40));
  return value.get<std::uint64_t>();
}

JsonLine read_json_line(std::string_view line, const std::string& name) {
  JsonLine result;
  if (const std::size_t nul = line.find('\0');
      nul != line.npos) {  // the parser takes it for the end
    result.problem = "not valid JSON at character " + std::to_string(nul + 1);
    return result;
  }
  TextField field(result, name);
  if (Json::sax_parse(line, &field) && !field.found())
    result.problem = "has no field '" + name + "'";
  return result;
}

}  // namespace tern
