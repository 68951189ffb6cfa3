// The structure of an HDF5 file: contiguous datasets in the root group and string attributes. HDF5
// never writes to the disk (on a full one 1.10 reports success, then crashes at exit): it builds
// the structure in memory, and elements are moved by File::pwrite_all and pread_all at their
// offsets.
#pragma once

#include <map>
#include <vector>

#include "data/io/files.h"
#include "data/io/stored_type.h"

namespace tern {

struct Dataset {
  std::string name;  // 1 to 512 bytes without '/'
  StoredType type = StoredType::f32;
  std::vector<std::uint64_t> shape{};  // row-major, rank 0 to 8; a length may be 0
  std::uint64_t offset = 0;            // of the first element; as written here a multiple of 4096

  std::uint64_t items() const;  // Fault::input when the product overflows
  std::uint64_t bytes() const;
};

struct Structure {
  std::vector<Dataset> datasets{};
  std::map<std::string, std::string> attributes{};  // of the root group
  std::uint64_t file_bytes = 0;
};

// A byte range of a file.
struct Extent {
  std::uint64_t offset, bytes;
};

// Writes the structure into a new, empty file, sets its size, fills in offsets and file_bytes.
// Elements not written afterwards read as zero. Fault::disk when the file cannot be written.
void write_structure(File& file, Structure& structure);

// Reads the structure of a file. Fault::input unless it is HDF5 with only contiguous little-endian
// datasets of known types that lie within the file, and short string attributes.
Structure read_structure(const File& file);

// The byte ranges of the file outside the extents, in order: the metadata of HDF5 around the
// datasets.
std::vector<Extent> uncovered(std::vector<Extent> extents, std::uint64_t file_bytes);

// The bytes of the file outside the extents. Fault::input if there are more of them than HDF5 needs
// for that many datasets.
std::string read_structure_bytes(const File& file, const std::vector<Extent>& extents);

std::string hdf5_version();  // of the library: "1.10.8"

}  // namespace tern
