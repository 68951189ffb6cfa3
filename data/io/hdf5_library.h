// What every use of the HDF5 C API here needs: closing handles, quiet errors, one caller at a time.
#pragma once

#include <hdf5.h>

#include <filesystem>
#include <mutex>
#include <string>

#include "core/check.h"

namespace tern::hdf5 {

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

// the most specific message on HDF5's error stack, or ""
std::string reason();

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

// Fault::disk with the system's reason when not even the system can open path_of(descriptor): there
// are too many open files, or no /proc.
void require_openable(int descriptor, const std::string& name);

// how HDF5 opens what a descriptor refers to, whatever happens to its path
std::filesystem::path path_of(int descriptor);

// access properties: close everything with the file, no file locks (not every file system has them)
Handle access_properties();

}  // namespace tern::hdf5
