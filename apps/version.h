// Which tern this is: the release, and the commit where it was built from a checkout.
#pragma once

#include <string>
#include <string_view>

namespace tern {

std::string_view version();  // "0.1.0"
std::string_view git_id();   // "3853eb2a1b2c" or "3853eb2a1b2c-dirty"; empty without a checkout
std::string version_line();  // "tern 0.1.0 (3853eb2a1b2c)"

}  // namespace tern
