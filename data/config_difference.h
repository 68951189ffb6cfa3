// Where the configuration of a checkpoint and the one it is to be resumed with differ.
#pragma once

#include <string>
#include <vector>

#include "data/json.h"

namespace tern {

// One line per differing key, "model.d_model: 512 in the checkpoint, 768 now", in the order of the
// keys. Keys in may_differ, and those below them ("log" covers "log.interval"), are left out.
std::vector<std::string> differences(const nlohmann::json& saved, const nlohmann::json& current,
                                     const std::vector<std::string>& may_differ);

}  // namespace tern
