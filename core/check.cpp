#include "core/check.h"

namespace tern {

void require_none(const std::vector<std::string>& problems, Fault fault, const std::string& where) {
  if (problems.empty()) return;
  if (problems.size() == 1) fail(fault, where, problems[0]);
  std::string text = where + std::to_string(problems.size()) + " problems:";
  for (const std::string& problem : problems) text += "\n  " + problem;
  fail(fault, text);
}

}  // namespace tern
