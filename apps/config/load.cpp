#include "apps/config/load.h"

#include "apps/config/loader.h"
#include "core/check.h"
#include "data/files.h"

namespace tern {

namespace {

std::string read_text(const std::filesystem::path& path) {
  try {
    return read_file(path, kMaxConfigBytes, Links::follow);
  } catch (const Error& e) {
    fail(Fault::usage, e.what());  // whatever is wrong with it, it is the command line's file
  }
}

}  // namespace

LoadedConfig load_config(const std::filesystem::path& path,
                         const std::vector<std::string>& overrides) {
  return parse_config(read_text(path), path.string(), overrides);
}

LoadedConfig parse_config(const std::string& text, const std::string& file,
                          const std::vector<std::string>& overrides) {
  ConfigLoader loader(file);
  loader.read(text);
  for (const std::string& one : overrides) loader.apply(one);
  return loader.finish();
}

}  // namespace tern
