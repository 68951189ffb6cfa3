#include "data/io/hdf5_library.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "data/io/files.h"

namespace tern::hdf5 {
namespace {

// as global as the library state that it guards
std::mutex& library_mutex() {
  static std::mutex mutex;
  return mutex;
}

}  // namespace

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

std::filesystem::path path_of(int descriptor) {
  return "/proc/self/fd/" + std::to_string(descriptor);
}

void require_openable(int descriptor, const std::string& name) {
  const int opened = ::open(path_of(descriptor).c_str(), O_RDONLY | O_CLOEXEC);
  require(opened >= 0, Fault::disk, name, ": HDF5 cannot open it: ", system_message(errno),
          errno == EMFILE ? ": raise the limit of this process (ulimit -n)" : "");
  ::close(opened);
}

Handle access_properties() {
  const hid_t id = H5Pcreate(H5P_FILE_ACCESS);
  require_done(id, Fault::internal, "[hdf5] cannot create access properties");
  H5Pset_fclose_degree(id, H5F_CLOSE_STRONG);
  H5Pset_file_locking(id, false, true);
  H5Pset_fapl_stdio(id);  // the POSIX driver looks up real paths, and a file in memory has none
  return {id, H5Pclose};
}

}  // namespace tern::hdf5
