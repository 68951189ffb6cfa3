// The one table of all configuration keys. Reading, checking, overriding, writing and the reference
// page all walk it: a new key is one field in run_config.h and one entry in schema*.cpp.
#pragma once

#include <string>

#include "apps/config/key.h"

namespace tern {

const ConfigSchema& schema();

// the part of it from the schedule on; run, model, data and optimizer come before
ConfigSchema training_schema();
// the tables about several processes
ConfigSection ranks_section();
ConfigSection parallel_section();

// The page docs/config.md, in Markdown: for each table its keys with type, default and meaning.
std::string config_reference();

}  // namespace tern
