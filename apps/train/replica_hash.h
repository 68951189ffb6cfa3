// Comparison of the copies of a model that ranks hold.
#pragma once

#include <string>
#include <vector>

#include "core/parameter_pack.h"

namespace tern {

// XXH3-128 of the tensors that forward and backward read: ternary copies, rows of tokens, and the
// tensors that every rank holds. Takes a copy of them in host memory.
std::string replica_hash(const ParameterPack& pack);

// Names the ranks whose hash is not that of most; of equally many, not that of the lowest rank.
// Empty: all agree. hashes: by rank
std::string ranks_that_differ(const std::vector<std::string>& hashes);

}  // namespace tern
