#include "apps/version.h"

namespace tern {

std::string_view version() {
  return TERN_VERSION;
}

std::string_view git_id() {
  return TERN_GIT_ID;
}

std::string version_line() {
  std::string line = "tern " + std::string(version());
  if (!git_id().empty()) line += " (" + std::string(git_id()) + ')';
  return line;
}

}  // namespace tern
