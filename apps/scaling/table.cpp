#include "apps/scaling/table.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "apps/console/terminal.h"
#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

constexpr std::uint64_t kLongestFile = 64 << 20;

using Record = std::vector<std::string>;

// Records of a CSV text, one after the other.
class CsvReader {
 public:
  CsvReader(std::string_view text, const std::string& where) : text_(text), where_(where) {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
  }

  // The next record that is neither empty nor a comment; nothing at the end.
  std::optional<Record> next() {
    while (!text_.empty()) {
      line_ = next_line_;
      if (text_[0] == '#') {
        take_line();
        continue;
      }
      Record record = take_record();
      if (record.size() > 1 || !record[0].empty()) return record;
    }
    return {};
  }

  std::string place() const { return where_ + ':' + std::to_string(line_); }

 private:
  void take_line() {
    const std::size_t end = text_.find('\n');
    text_.remove_prefix(end == text_.npos ? text_.size() : end + 1);
    ++next_line_;
  }

  // true if the text goes on with the end of a line, which is taken, or is at its end
  bool take_end() {
    if (text_.starts_with("\r\n")) text_.remove_prefix(1);
    if (!text_.empty() && text_[0] != '\n') return false;
    take_line();
    return true;
  }

  Record take_record() {
    Record record;
    while (true) {
      record.push_back(text_.starts_with('"') ? take_quoted() : take_plain());
      if (take_end()) return record;
      require(text_[0] == ',', Fault::input, place(),
              ": expected a comma or the end of the line after a quoted field, got '",
              printable(text_.substr(0, 1)), "'");
      text_.remove_prefix(1);
    }
  }

  std::string take_plain() {
    const std::size_t end = std::min(text_.find_first_of(",\n"), text_.size());
    std::string_view field = text_.substr(0, end);
    text_.remove_prefix(end);
    if (field.ends_with('\r') && !text_.starts_with(',')) field.remove_suffix(1);
    return trimmed(field);
  }

  // "" inside quotes is a quote; a line may end inside
  std::string take_quoted() {
    std::string field;
    text_.remove_prefix(1);
    while (!text_.empty()) {
      const char c = text_[0];
      text_.remove_prefix(1);
      if (c == '"' && !text_.starts_with('"')) return field;
      if (c == '"') text_.remove_prefix(1);
      if (c == '\n') ++next_line_;
      field += c;
    }
    fail(Fault::input, place(), ": expected a closing quote (\"), got the end of the file");
  }

  static std::string trimmed(std::string_view field) {
    const std::size_t begin = field.find_first_not_of(" \t");
    if (begin == field.npos) return {};
    return std::string(field.substr(begin, field.find_last_not_of(" \t") - begin + 1));
  }

  std::string_view text_;
  std::string where_;
  std::size_t line_ = 1, next_line_ = 1;
};

// Where the columns are in a record.
struct Columns {
  std::array<std::size_t, 3> numbers{};  // parameters, tokens, loss
  std::optional<std::size_t> family{};
  std::size_t count = 0;
};

constexpr std::array kNumbers = {"parameters", "tokens", "loss"};

std::optional<std::size_t> find_column(const Record& header, const char* name,
                                       const std::string& place) {
  const auto first = std::find(header.begin(), header.end(), name);
  if (first == header.end()) return {};
  require(std::find(first + 1, header.end(), name) == header.end(), Fault::input, place,
          ": expected one column '", name, "', got several");
  return std::size_t(first - header.begin());
}

Columns find_columns(const Record& header, const std::string& place) {
  Columns columns{.count = header.size()};
  std::string names;
  for (const std::string& name : header) names += (names.empty() ? "" : ", ") + printable(name);
  for (std::size_t i = 0; i < kNumbers.size(); ++i) {
    const auto column = find_column(header, kNumbers[i], place);
    require(column.has_value(), Fault::input, place, ": expected a column '", kNumbers[i],
            "', got the columns ", names);
    columns.numbers[i] = *column;
  }
  columns.family = find_column(header, "family", place);
  return columns;
}

double positive_number(const std::string& text, const char* column, const std::string& place) {
  const char *begin = text.data() + text.starts_with('+'), *end = text.data() + text.size();
  double number = 0;
  const auto [at, error] = std::from_chars(begin, end, number);
  require(at == end && begin != end && error == std::errc{} && std::isfinite(number) && number > 0,
          Fault::input, place, ": column '", column, "': expected a number above 0, got '",
          printable(text), "'");
  constexpr double kLeast = 1e-100, kMost = 1e100;  // products of two stay finite
  require(kLeast <= number && number <= kMost, Fault::input, place, ": column '", column,
          "': expected a number from ", kLeast, " to ", kMost, ", got ", printable(text));
  return number;
}

void add_point(ScalingTable& table, const std::string& name, const ScalingPoint& point) {
  auto family = std::find_if(table.families.begin(), table.families.end(),
                             [&](const ScalingFamily& f) { return f.name == name; });
  if (family == table.families.end())
    family = table.families.insert(family, {.name = name, .points = {}});
  family->points.push_back(point);
}

}  // namespace

ScalingTable parse_table(std::string_view text, const std::string& where) {
  CsvReader reader(text, where);
  const std::optional<Record> header = reader.next();
  require(header.has_value(), Fault::input, where,
          ": expected a line with the columns parameters, tokens and loss, got an empty file");
  const Columns columns = find_columns(*header, reader.place());
  ScalingTable table;
  while (const std::optional<Record> record = reader.next()) {
    const std::string place = reader.place();
    require(record->size() == columns.count, Fault::input, place, ": expected ", columns.count,
            " fields, as in the first line, got ", record->size());
    std::array<double, 3> numbers{};
    for (std::size_t i = 0; i < kNumbers.size(); ++i)
      numbers[i] = positive_number((*record)[columns.numbers[i]], kNumbers[i], place);
    const std::string family = columns.family ? (*record)[*columns.family] : "";
    require(!columns.family || !family.empty(), Fault::input, place,
            ": column 'family': expected a name, got nothing");
    add_point(table, family, {numbers[0], numbers[1], numbers[2]});
  }
  require(!table.families.empty(), Fault::input, where,
          ": expected lines of numbers below the names of the columns, got none");
  return table;
}

ScalingTable read_table(const std::filesystem::path& path) {
  return parse_table(read_file(path, kLongestFile, Links::follow), path.string());
}

}  // namespace tern
