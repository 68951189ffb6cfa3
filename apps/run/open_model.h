// A model that a path of the command line names.
#pragma once

#include "runtime/saved_model.h"

namespace tern {

// A checkpoint, a run directory (its newest good checkpoint), a Hugging Face folder, or a packed
// file. What was ignored in a folder's config.json is said on standard error. Fault::input with the
// reason if it cannot be used.
SavedModel open_model(const std::filesystem::path& path);

// help of the option that takes such a path
inline constexpr const char* kModelArgument =
    "a checkpoint, a run directory, a Hugging Face folder, or a packed file";

}  // namespace tern
