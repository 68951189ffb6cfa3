#include <algorithm>
#include <optional>
#include <string_view>

#include "core/check.h"
#include "data/io/hdf5.h"
#include "data/io/hdf5_library.h"

namespace tern {
namespace {

using hdf5::Handle;
using hdf5::require_done;

constexpr std::size_t kMaxDatasets = 100'000, kMaxAttributes = 1'000, kMaxName = 512;
constexpr std::size_t kMaxAttributeBytes = 65'536;

// What the iteration callbacks of the C library collect; they must not throw.
struct Names {
  std::size_t most;
  std::vector<std::string> names{};
  std::string problem{};

  herr_t add(const char* name) noexcept {
    if (names.size() == most || std::string_view(name).size() > kMaxName) {
      problem = names.size() == most ? "too many entries" : "a name longer than 512 B";
      return 1;
    }
    names.emplace_back(name);
    return 0;
  }
};

herr_t collect_link(hid_t, const char* name, const H5L_info_t* info, void* out) {
  Names& names = *static_cast<Names*>(out);
  if (info->type == H5L_TYPE_HARD) return names.add(name);
  names.problem = "a soft or external link";
  return 1;
}

herr_t collect_attribute(hid_t, const char* name, const H5A_info_t*, void* out) {
  return static_cast<Names*>(out)->add(name);
}

std::string read_text(hid_t object, const std::string& name, const std::string& where) {
  const Handle attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose);
  require_done(hid_t(attribute), Fault::input, where, ": cannot open the attribute ", name);
  const Handle type(H5Aget_type(attribute), H5Tclose);
  const Handle space(H5Aget_space(attribute), H5Sclose);
  const std::size_t size = H5Tget_size(type);
  require(H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
              H5Sget_simple_extent_type(space) == H5S_SCALAR && size <= kMaxAttributeBytes,
          Fault::input, where, ": attribute ", name, ": expected one string of fixed length");
  std::string text(size, '\0');
  require_done(H5Aread(attribute, type, text.data()), Fault::input, where,
               ": cannot read the attribute ", name);
  return text.substr(0, text.find('\0'));
}

StoredType read_type(hid_t dataset, const std::string& where) {
  const Handle type(H5Dget_type(dataset), H5Tclose);
  const std::pair<hid_t, StoredType> known[] = {
      {H5T_IEEE_F64LE, StoredType::f64}, {H5T_IEEE_F32LE, StoredType::f32},
      {H5T_STD_I32LE, StoredType::i32},  {H5T_STD_I8LE, StoredType::i8},
      {H5T_STD_U64LE, StoredType::u64},  {H5T_STD_U32LE, StoredType::u32},
      {H5T_STD_U16LE, StoredType::u16},  {H5T_STD_U8LE, StoredType::u8},
  };
  for (const auto& [native, stored] : known) {
    if (H5Tequal(type, native) <= 0) continue;
    const bool marked = stored == StoredType::u16 && H5Aexists(dataset, "dtype") > 0;
    return marked ? stored_type(read_text(dataset, "dtype", where), where) : stored;
  }
  fail(Fault::input, where, ": expected little-endian f64, f32, i32, i8, u64, u32, u16 or u8");
}

std::vector<std::uint64_t> read_shape(hid_t dataset, const std::string& where) {
  const Handle space(H5Dget_space(dataset), H5Sclose);
  const H5S_class_t kind = H5Sget_simple_extent_type(space);
  require(kind == H5S_SIMPLE || kind == H5S_SCALAR, Fault::input, where, ": it has no shape");
  const int rank = H5Sget_simple_extent_ndims(space);
  require(rank >= 0 && rank <= 8, Fault::input, where, ": expected rank at most 8, got ", rank);
  std::vector<hsize_t> lengths(rank);
  if (rank > 0) H5Sget_simple_extent_dims(space, lengths.data(), nullptr);
  return {lengths.begin(), lengths.end()};
}

Dataset read_dataset(hid_t file, const std::string& name, const std::string& path,
                     std::uint64_t file_bytes) {
  const std::string where = path + ": dataset " + name;
  const Handle dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose);
  require_done(hid_t(dataset), Fault::input, where, ": expected a dataset");
  const Handle how(H5Dget_create_plist(dataset), H5Pclose);
  require(H5Pget_layout(how) == H5D_CONTIGUOUS && H5Pget_nfilters(how) == 0 &&
              H5Pget_external_count(how) == 0,
          Fault::input, where, ": expected contiguous, uncompressed and in this file");
  Dataset d{where, read_type(dataset, where), read_shape(dataset, where)};  // where: for bytes()
  const std::uint64_t bytes = d.bytes();
  d.name = name;
  if (bytes == 0) return d;
  const haddr_t offset = H5Dget_offset(dataset);
  require(offset != HADDR_UNDEF && offset <= file_bytes && bytes <= file_bytes - offset,
          Fault::input, where, ": its ", bytes, " B do not lie within the file of ", file_bytes,
          " B");
  d.offset = offset;
  return d;
}

void require_disjoint(std::vector<Dataset> datasets, const std::string& path) {
  std::erase_if(datasets, [](const Dataset& d) { return d.bytes() == 0; });
  std::sort(datasets.begin(), datasets.end(),
            [](const Dataset& a, const Dataset& b) { return a.offset < b.offset; });
  for (std::size_t i = 1; i < datasets.size(); ++i)
    require(datasets[i - 1].offset + datasets[i - 1].bytes() <= datasets[i].offset, Fault::input,
            path, ": datasets ", datasets[i - 1].name, " and ", datasets[i].name, " overlap");
}

}  // namespace

Structure read_structure(const File& file) {
  const std::string path = file.path().string();
  const hdf5::Library library;
  const Handle access = hdf5::access_properties();
  const auto opened_as = hdf5::path_of(file.descriptor());
  const Handle h5(H5Fopen(opened_as.c_str(), H5F_ACC_RDONLY, access), H5Fclose);
  if (h5 < 0) hdf5::require_openable(file.descriptor(), path);
  require_done(hid_t(h5), Fault::input, path, ": expected an HDF5 file, truncated or damaged");

  Names links{.most = kMaxDatasets}, texts{.most = kMaxAttributes};
  require_done(H5Literate(h5, H5_INDEX_NAME, H5_ITER_INC, nullptr, collect_link, &links),
               Fault::input, path, ": cannot list the datasets");
  require_done(H5Aiterate2(h5, H5_INDEX_NAME, H5_ITER_INC, nullptr, collect_attribute, &texts),
               Fault::input, path, ": cannot list the attributes");
  for (const Names& found : {links, texts})
    require(found.problem.empty(), Fault::input, path, ": it contains ", found.problem);

  Structure structure{.file_bytes = file.size()};
  for (const std::string& name : links.names)
    structure.datasets.push_back(read_dataset(h5, name, path, structure.file_bytes));
  for (const std::string& name : texts.names)
    structure.attributes[name] = read_text(h5, name, path);
  require_disjoint(structure.datasets, path);
  return structure;
}

}  // namespace tern
