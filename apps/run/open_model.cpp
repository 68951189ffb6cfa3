#include "apps/run/open_model.h"

#include <fmt/format.h>

#include "apps/config/resolved.h"
#include "runtime/checkpoints.h"
#include "runtime/huggingface.h"
#include "runtime/packed_model.h"

namespace tern {

SavedModel open_model(const std::filesystem::path& path) {
  if (is_packed_model(path)) return open_packed(path);
  if (is_huggingface_folder(path)) {
    SavedModel saved = open_huggingface(path);
    for (const std::string& warning : saved.warnings)
      fmt::print(stderr, "tern: warning: {}\n", warning);
    return saved;
  }
  std::error_code error;
  for (const char* name : {kSafetensorsName, kSafetensorsIndexName})
    require(!std::filesystem::exists(path / name, error), Fault::input, path.string(), ": holds ",
            name, " and no config.json: expected a Hugging Face folder with both");
  const Checkpoint checkpoint = open_checkpoint(path);
  return saved_model(checkpoint, saved_config(checkpoint));
}

}  // namespace tern
