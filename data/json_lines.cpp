#include "data/json_lines.h"

#include <nlohmann/json.hpp>
#include <set>

namespace tern {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 64;

// Takes the field from the parser's events, so that the rest of the object costs no memory.
class TextField : public Json::json_sax_t {
 public:
  explicit TextField(JsonLine& line) : line_(line) {}

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
    if (depth_ != 1) return true;
    wanted_ = name == "text";
    found_ = found_ || wanted_;
    return names_.insert(name).second ||
           stop("the field '" + name.substr(0, 40) + "' is there twice");
  }
  bool start_object(std::size_t) override { return value("an object") && deeper(); }
  bool end_object() override { return --depth_, true; }
  bool start_array(std::size_t) override { return value("a list") && deeper(); }
  bool end_array() override { return --depth_, true; }
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
    if (wanted_) return stop(std::string("expected text in the field 'text', got ") + kind);
    return true;
  }
  bool deeper() { return ++depth_ <= kMaxDepth || stop("nested more than 64 levels deep"); }

  JsonLine& line_;
  std::set<std::string> names_;
  int depth_ = 0;
  bool wanted_ = false, found_ = false;
};

}  // namespace

JsonLine read_json_line(std::string_view line) {
  JsonLine result;
  if (const std::size_t nul = line.find('\0');
      nul != line.npos) {  // the parser takes it for the end
    result.problem = "not valid JSON at character " + std::to_string(nul + 1);
    return result;
  }
  TextField field(result);
  if (Json::sax_parse(line, &field) && !field.found()) result.problem = "has no field 'text'";
  return result;
}

}  // namespace tern
