// The page docs/config.md, made from the schema.
#pragma once

#include <string>

namespace tern {

// Markdown: for each table of a configuration its keys with type, default and meaning.
std::string config_reference();

}  // namespace tern
