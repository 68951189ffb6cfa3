// Versions of the libraries that read and write files, for env.json and `tern info`.
#pragma once

#include <map>
#include <string>

namespace tern {

std::map<std::string, std::string> data_library_versions();  // {"HDF5", "1.10.8"}

}  // namespace tern
