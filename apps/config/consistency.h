// What a configuration's values must satisfy together; each alone is within its range already.
#pragma once

#include <set>
#include <string>

#include "apps/config/load.h"
#include "apps/config/problems.h"

namespace tern {

// Adds what does not fit together. Rules about keys in `bad` (whose values could not be read) are
// left out: they would only repeat the first mistake.
void check_consistency(const LoadedConfig& loaded, const std::set<std::string>& bad,
                       ConfigProblems& problems);

}  // namespace tern
