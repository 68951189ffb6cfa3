#include "apps/config/problems.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <tuple>

#include "core/check.h"

namespace tern {

namespace {

constexpr std::size_t kMostShown = 40;
constexpr std::size_t kNoLine = std::numeric_limits<std::size_t>::max();  // sorts after the lines

}  // namespace

void ConfigProblems::add(const ValueOrigin& at, const std::string& text) {
  if (at.kind == ValueOrigin::Kind::file) {
    const std::string line = fmt::format("{}:{}:{}: {}", file_, at.line, at.column, text);
    found_.push_back({at.line, at.column, line});
  } else {
    found_.push_back({kNoLine, 0, fmt::format("{}: {}", at.text, text)});
  }
}

void ConfigProblems::add_anywhere(const std::string& text) {
  found_.push_back({kNoLine, 0, fmt::format("{}: {}", file_, text)});
}

void ConfigProblems::raise() const {
  std::vector<Problem> sorted = found_;
  std::ranges::stable_sort(sorted, {}, [](const Problem& p) { return std::tie(p.line, p.column); });
  std::string text;
  if (sorted.size() > 1) text = fmt::format("{} mistakes in the configuration:\n", sorted.size());
  for (std::size_t i = 0; i < std::min(sorted.size(), kMostShown); ++i)
    text += (i == 0 ? "" : "\n") + sorted[i].text;
  if (sorted.size() > kMostShown)
    text += fmt::format("\n... and {} more", sorted.size() - kMostShown);
  fail(Fault::usage, text);
}

}  // namespace tern
