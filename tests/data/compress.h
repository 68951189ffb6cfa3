// Compressed bytes for the tests, made by the same libraries.
#pragma once

#include <string>
#include <string_view>

#include "data/io/byte_stream.h"

namespace tern {

std::string compressed(Codec codec,
                       std::string_view bytes);  // one member; Codec::none: as they are

}  // namespace tern
