#include "apps/version.h"

namespace tern {

std::string_view version() {
  return TERN_VERSION;
}

std::string_view git_id() {
  return TERN_GIT_ID;
}

}  // namespace tern
