// README.md of an exported model: what it is, what it was trained on, and how it is used.
#pragma once

#include "runtime/saved_model.h"

namespace tern {

// Markdown with Hugging Face's header. Paths are shortened to their last name.
std::string model_card(const SavedModel& saved);

}  // namespace tern
