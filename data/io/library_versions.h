// Which libraries read and write files here: what env.json and `tern info` name.
#pragma once

#include <map>
#include <string>

namespace tern {

std::map<std::string, std::string> data_library_versions();  // {"HDF5", "1.10.8"}

}  // namespace tern
