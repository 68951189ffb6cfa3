// What the user may have meant: the nearest known name by edit distance.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "apps/config/key.h"

namespace tern {

// the nearest of the names, or "" when none is near
std::string nearest(std::string_view wrong, const std::vector<std::string>& names);

// the key nearest to an unknown one of a table, in any table: "optimizer.lr"; "" when none is near
std::string nearest_key(const ConfigSchema& schema, std::string_view table, std::string_view key);

// the table nearest to an unknown one: "optimizer"; "" when none is near
std::string nearest_table(const ConfigSchema& schema, std::string_view table);

}  // namespace tern
