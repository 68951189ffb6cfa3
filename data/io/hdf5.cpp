#include "data/io/hdf5.h"

#include <fcntl.h>
#include <hdf5.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

// global, like the state of the library that it guards
std::mutex& library_mutex() {
  static std::mutex mutex;
  return mutex;
}

// Holds the library: its state is global, and not every build of it may be entered by two threads.
// While one lives, HDF5 does not print its error stack.
class Library {
 public:
  Library();
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

 private:
  std::lock_guard<std::mutex> lock_;
  H5E_auto2_t print_ = nullptr;
  void* print_to_ = nullptr;
};

// H5dont_atexit must come before everything else: the clean-up HDF5 runs at exit is what crashes
// after a failure, and with every handle closed there is nothing for it to do.
Library::Library() : lock_(library_mutex()) {
  H5dont_atexit();
  H5Eget_auto2(H5E_DEFAULT, &print_, &print_to_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Library::~Library() {
  H5Eset_auto2(H5E_DEFAULT, print_, print_to_);
}

// The most specific message on HDF5's error stack, or "".
std::string reason() {
  std::string text;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned n, const H5E_error2_t* error, void* out) -> herr_t {
        if (n == 0 && error->desc) *static_cast<std::string*>(out) = error->desc;
        return 0;
      },
      &text);
  return text;
}

// An open id, closed in the destructor.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle(hid_t id, Close close) : id_(id), close_(close) {}
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  operator hid_t() const { return id_; }

 private:
  hid_t id_;
  Close close_;
};

// status of a call that reports failure by a negative number
template <class Status, class... Parts>
Status require_done(Status status, Fault fault, const Parts&... what) {
  if (status >= 0) return status;
  fail(fault, what..., " (HDF5: ", reason(), ')');
}

// A path by which HDF5 opens the file of a descriptor, also after that file was renamed.
std::filesystem::path path_of(int descriptor) {
  return "/proc/self/fd/" + std::to_string(descriptor);
}

// Fault::disk with the system's reason when not even the system can open path_of(descriptor): there
// are too many open files, or no /proc.
void require_openable(int descriptor, const std::string& name) {
  const int opened = ::open(path_of(descriptor).c_str(), O_RDONLY | O_CLOEXEC);
  require(opened >= 0, Fault::disk, name, ": HDF5 cannot open it: ", system_message(errno),
          errno == EMFILE ? ": raise the limit of this process (ulimit -n)" : "");
  ::close(opened);
}

// Access properties: close everything with the file, no file locks (not every file system has
// them).
Handle access_properties() {
  const hid_t id = H5Pcreate(H5P_FILE_ACCESS);
  require_done(id, Fault::internal, "[hdf5] cannot create access properties");
  H5Pset_fclose_degree(id, H5F_CLOSE_STRONG);
  H5Pset_file_locking(id, false, true);
  H5Pset_fapl_stdio(id);  // the POSIX driver looks up real paths, and a file in memory has none
  return {id, H5Pclose};
}

constexpr std::size_t kMaxDatasets = 100'000, kMaxAttributes = 1'000, kMaxName = 512;
constexpr std::size_t kMaxAttributeBytes = 65'536;

// Names collected by the iteration callbacks of the C library, which must not throw.
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
  for (std::size_t i = 0; i < kStoredTypes; ++i) {
    const auto stored = StoredType(i);
    if (stored == StoredType::bf16 || !info_of(stored).hdf5)
      continue;  // bf16: u16 and an attribute
    if (H5Tequal(type, info_of(stored).hdf5()) <= 0) continue;
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

constexpr std::uint64_t kAlignment = 4096;  // datasets can be mapped and read directly
constexpr std::size_t kManyDatasets = 1000;

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

// Adds a dataset whose bytes are allocated and not written. Returns their offset.
std::uint64_t add_dataset(hid_t file, const Dataset& d) {
  check(!d.name.empty() && d.name.size() <= 512 && d.name.find('/') == std::string::npos &&
            d.name != "." && d.shape.size() <= 8,
        "[hdf5] dataset \"", d.name, "\": expected 1 to 512 B without '/' and rank at most 8");
  check(info_of(d.type).hdf5 != nullptr, "[hdf5] dataset ", d.name, ": no HDF5 type for ",
        name_of(d.type));
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
  const Handle dataset(H5Dcreate2(file, d.name.c_str(), info_of(d.type).hdf5(), space, H5P_DEFAULT,
                                  how, H5P_DEFAULT),
                       H5Dclose);
  require_done(hid_t(dataset), Fault::internal, "[hdf5] cannot create the dataset ", d.name);
  if (d.type == StoredType::bf16) add_attribute(dataset, "dtype", "bf16");
  if (d.bytes() == 0) return 0;
  const haddr_t offset = H5Dget_offset(dataset);
  check(offset != HADDR_UNDEF, "[hdf5] dataset ", d.name, " has no place in the file");
  return offset;
}

void build(int memory, Structure& structure) {
  const Library library;
  const Handle access = access_properties();
  H5Pset_alignment(access, 1, kAlignment);
  H5Pset_meta_block_size(access, 1 << 16);  // few large blocks of metadata between the datasets
  const auto path = path_of(memory);
  const Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  // For each dataset HDF5 searches all gaps that alignment left: minutes for the deepest models.
  if (structure.datasets.size() > kManyDatasets)
    H5Pset_file_space_strategy(creation, H5F_FSPACE_STRATEGY_AGGR, false, 1);
  const Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, access), H5Fclose);
  if (file < 0) require_openable(memory, "file in memory");
  require_done(hid_t(file), Fault::internal, "[hdf5] cannot create a file in memory");
  for (Dataset& d : structure.datasets) d.offset = add_dataset(file, d);
  for (const auto& [name, value] : structure.attributes) add_attribute(file, name, value);
  require_done(H5Fflush(file, H5F_SCOPE_GLOBAL), Fault::internal, "[hdf5] cannot flush");
}

// A sparse file in memory, made large enough at once, so that a limit on the size of files is an
// error with a path here and not inside HDF5.
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

std::uint64_t Dataset::items() const {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::uint64_t product = 1;
  for (const std::uint64_t length : shape) {
    // room for the widest element and an offset: every later sum of such sizes is safe
    require(length <= (std::uint64_t(1) << 58) / product, Fault::input, name,
            ": the product of its dimensions overflows");
    product *= length;
  }
  return product;
}

std::uint64_t Dataset::bytes() const {
  return items() * item_bytes(type);
}

std::vector<Extent> uncovered(std::vector<Extent> extents, std::uint64_t file_bytes) {
  std::sort(extents.begin(), extents.end(),
            [](const Extent& a, const Extent& b) { return a.offset < b.offset; });
  extents.push_back({file_bytes, 0});
  std::vector<Extent> gaps;
  std::uint64_t end = 0;
  for (const Extent& e : extents) {
    if (e.offset > end) gaps.push_back({end, e.offset - end});
    end = std::max(end, e.offset + e.bytes);
  }
  return gaps;
}

std::string read_structure_bytes(const File& file, const std::vector<Extent>& extents) {
  const std::vector<Extent> gaps = uncovered(extents, file.size());
  std::uint64_t total = 0;
  for (const Extent& gap : gaps) total += gap.bytes;
  const std::uint64_t most = (1 << 20) + extents.size() * (32 << 10);
  require(total <= most, Fault::input, file.path().string(), ": expected at most ", most,
          " B outside the datasets, got ", total);
  std::string bytes(total, '\0');
  auto rest = std::as_writable_bytes(std::span(bytes));
  for (const Extent& gap : gaps) {
    file.pread_all(gap.offset, rest.first(gap.bytes));
    rest = rest.subspan(gap.bytes);
  }
  return bytes;
}

std::string hdf5_version() {
  const Library library;
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return std::to_string(major) + '.' + std::to_string(minor) + '.' + std::to_string(release);
}

Structure read_structure(const File& file) {
  const std::string path = file.path().string();
  const Library library;
  const Handle access = access_properties();
  const auto opened_as = path_of(file.descriptor());
  const Handle h5(H5Fopen(opened_as.c_str(), H5F_ACC_RDONLY, access), H5Fclose);
  if (h5 < 0) require_openable(file.descriptor(), path);
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
