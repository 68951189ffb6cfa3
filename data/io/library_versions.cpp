#include "data/io/library_versions.h"

#include <lzma.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

#include "data/io/hdf5.h"

namespace tern {

std::map<std::string, std::string> data_library_versions() {
  const auto dotted = [](unsigned a, unsigned b, unsigned c) {
    return std::to_string(a) + '.' + std::to_string(b) + '.' + std::to_string(c);
  };
  const unsigned xxhash = XXH_versionNumber();
  return {{"HDF5", hdf5_version()},
          {"zlib", zlibVersion()},
          {"zstd", ZSTD_versionString()},
          {"xz", lzma_version_string()},
          {"xxHash", dotted(xxhash / 10000, xxhash / 100 % 100, xxhash % 100)}};
}

}  // namespace tern
