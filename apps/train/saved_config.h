// The configuration that a checkpoint's run had.
#pragma once

#include "data/checkpoint/checkpoint.h"
#include "runtime/run_config.h"

namespace tern {

// Fault::input if the checkpoint has none, or one that this build does not know
RunConfig saved_config(const Checkpoint& checkpoint);

}  // namespace tern
