#include "apps/config/load.h"

#include "apps/config/loader.h"
#include "core/check.h"
#include "data/io/files.h"

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

void set_vocab_size(LoadedConfig& loaded, std::int64_t size, const std::string& from) {
  if (loaded.config.model.vocab_size != 0) return;
  loaded.config.model.vocab_size = size;
  loaded.origins["model.vocab_size"] = {ValueOrigin::Kind::derived, 0, 0, from};
}

}  // namespace tern
