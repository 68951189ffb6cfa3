#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/check.h"
#include "data/io/hdf5.h"
#include "data/io/hdf5_library.h"

namespace tern {
namespace {

using hdf5::Handle;
using hdf5::require_done;

constexpr std::uint64_t kAlignment = 4096;  // datasets can be mapped and read directly
constexpr std::size_t kManyDatasets = 1000;

hid_t file_type(StoredType type) {
  switch (type) {
    case StoredType::f64:
      return H5T_IEEE_F64LE;
    case StoredType::f32:
      return H5T_IEEE_F32LE;
    case StoredType::bf16:
      return H5T_STD_U16LE;  // HDF5 has no bf16: bits, and an attribute
    case StoredType::i32:
      return H5T_STD_I32LE;
    case StoredType::i8:
      return H5T_STD_I8LE;
    case StoredType::u64:
      return H5T_STD_U64LE;
    case StoredType::u32:
      return H5T_STD_U32LE;
    case StoredType::u16:
      return H5T_STD_U16LE;
    case StoredType::u8:
      return H5T_STD_U8LE;
  }
  fail(Fault::internal, "[hdf5] unknown element type ", int(type));
}

void add_attribute(hid_t to, const std::string& name, const std::string& value) {
  check(value.size() < 60000, "[hdf5] attribute ", name, ": expected less than 60000 B, got ",
        value.size());
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, value.size() + 1);
  H5Tset_cset(type, H5T_CSET_UTF8);
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Handle attribute(H5Acreate2(to, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT),
                         H5Aclose);
  require_done(hid_t(attribute), Fault::internal, "[hdf5] cannot add the attribute ", name);
  require_done(H5Awrite(attribute, type, value.c_str()), Fault::internal,
               "[hdf5] cannot write the attribute ", name);
}

// Allocated now and never filled: its bytes have their place, and are not written.
std::uint64_t add_dataset(hid_t file, const Dataset& d) {
  check(!d.name.empty() && d.name.size() <= 512 && d.name.find('/') == std::string::npos &&
            d.name != "." && d.shape.size() <= 8,
        "[hdf5] dataset \"", d.name, "\": expected 1 to 512 B without '/' and rank at most 8");
  const std::vector<hsize_t> lengths(d.shape.begin(), d.shape.end());
  const Handle space(d.shape.empty()
                         ? H5Screate(H5S_SCALAR)
                         : H5Screate_simple(int(lengths.size()), lengths.data(), nullptr),
                     H5Sclose);
  const Handle how(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_layout(how, H5D_CONTIGUOUS);
  H5Pset_alloc_time(how, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(how, H5D_FILL_TIME_NEVER);
  H5Pset_obj_track_times(how, false);  // the same content is the same file
  const Handle dataset(
      H5Dcreate2(file, d.name.c_str(), file_type(d.type), space, H5P_DEFAULT, how, H5P_DEFAULT),
      H5Dclose);
  require_done(hid_t(dataset), Fault::internal, "[hdf5] cannot create the dataset ", d.name);
  if (d.type == StoredType::bf16) add_attribute(dataset, "dtype", "bf16");
  if (d.bytes() == 0) return 0;
  const haddr_t offset = H5Dget_offset(dataset);
  check(offset != HADDR_UNDEF, "[hdf5] dataset ", d.name, " has no place in the file");
  return offset;
}

void build(int memory, Structure& structure) {
  const hdf5::Library library;
  const Handle access = hdf5::access_properties();
  H5Pset_alignment(access, 1, kAlignment);
  H5Pset_meta_block_size(access, 1 << 16);  // few large blocks of metadata between the datasets
  const auto path = hdf5::path_of(memory);
  const Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  // For each dataset HDF5 searches all gaps that alignment left: minutes for the deepest models.
  if (structure.datasets.size() > kManyDatasets)
    H5Pset_file_space_strategy(creation, H5F_FSPACE_STRATEGY_AGGR, false, 1);
  const Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, access), H5Fclose);
  if (file < 0) hdf5::require_openable(memory, "file in memory");
  require_done(hid_t(file), Fault::internal, "[hdf5] cannot create a file in memory");
  for (Dataset& d : structure.datasets) d.offset = add_dataset(file, d);
  for (const auto& [name, value] : structure.attributes) add_attribute(file, name, value);
  require_done(H5Fflush(file, H5F_SCOPE_GLOBAL), Fault::internal, "[hdf5] cannot flush");
}

// A sparse file in memory. It is made large enough first, so that a limit on the size of files
// shows here, as an error with a path, and not inside HDF5.
int memory_file(const File& file, const Structure& structure) {
  std::uint64_t bound = kAlignment * (64 + structure.attributes.size() * 16);
  for (const Dataset& d : structure.datasets) bound += d.bytes() + 4 * kAlignment;
  const int memory = ::memfd_create("tern-structure", MFD_CLOEXEC);
  const bool made = memory >= 0 && ::ftruncate(memory, off_t(bound)) == 0;
  if (made) return memory;
  const int error = errno;
  if (memory >= 0) ::close(memory);
  fail(Fault::disk, file.path().string(), ": cannot prepare a file of about ", bound,
       " B: ", system_message(error));
}

void copy(const File& from, File& to, const Extent& extent) {
  std::vector<std::byte> block(std::min<std::uint64_t>(extent.bytes, 1 << 20));
  for (std::uint64_t done = 0; done < extent.bytes; done += block.size()) {
    block.resize(std::min<std::uint64_t>(block.size(), extent.bytes - done));
    from.pread_all(extent.offset + done, block);
    to.pwrite_all(extent.offset + done, block);
  }
}

}  // namespace

void write_structure(File& file, Structure& structure) {
  check(file.size() == 0, "[hdf5] ", file.path().string(), ": expected an empty file");
  const File memory = File::adopt("structure in memory", memory_file(file, structure));
  build(memory.descriptor(), structure);
  structure.file_bytes = memory.size();
  file.resize(structure.file_bytes);
  std::vector<Extent> elements;
  for (const Dataset& d : structure.datasets) elements.push_back({d.offset, d.bytes()});
  for (const Extent& gap : uncovered(elements, structure.file_bytes)) copy(memory, file, gap);
}

}  // namespace tern
