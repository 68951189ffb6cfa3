// A file whose bytes are memory: read by touching them, shared by all processes that map it, given
// back by the system when memory is short. A file that is replaced by rename stays as it was
// mapped.
#pragma once

#include "data/io/files.h"

namespace tern {

class MappedFile {
 public:
  // All of the file, read-only. Fault::disk if the system refuses.
  //
  // Bytes that are gone, since the file was truncated in place or its disk fails, end the process
  // when they are touched: one line on standard error, and exit code 3 (Fault::input). For that the
  // first mapping sets a handler of SIGBUS; any other SIGBUS goes where it went before.
  static std::shared_ptr<const MappedFile> map(const File& file);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  MappedFile(const std::filesystem::path& path, std::span<const std::byte> bytes);

  std::span<const std::byte> bytes_;
  struct Range;
  Range* range_;  // what the handler knows of it
};

}  // namespace tern
