// The Python files of python/hgrn_bit, which an export puts into its folder.
#pragma once

#include <string_view>

namespace tern {

extern const std::string_view kConfigurationHgrnBit;
extern const std::string_view kModelingHgrnBit;

}  // namespace tern
