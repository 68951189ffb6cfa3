#include "apps/commands.h"
#include "core/check.h"
#include "data/files.h"

namespace tern {

CLI::Validator path_argument() {
  return CLI::Validator(
      [](std::string& path) {
        try {
          path = expand_home(path);
          return std::string();
        } catch (const Error& e) {
          return std::string(e.what());
        }
      },
      "");
}

}  // namespace tern
