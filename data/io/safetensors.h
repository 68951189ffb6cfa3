// Reads .safetensors files: every number in the header is checked against the file before use.
// Format: u64 header length, JSON header, raw little-endian tensors without gaps.
#pragma once

#include <map>
#include <vector>

#include "data/io/files.h"
#include "data/io/stored_type.h"

namespace tern {

class SafetensorsFile {
 public:
  struct Entry {
    StoredType type = StoredType::f32;
    std::vector<std::int64_t> shape;
    std::uint64_t offset = 0, bytes = 0;  // in the file
  };

  // Fault::input naming the defect
  static SafetensorsFile open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const std::map<std::string, Entry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  bool contains(const std::string& name) const { return entries_.contains(name); }
  const Entry& entry(const std::string& name) const;  // Fault::input if there is none

  // F32 or F64 tensor as doubles; I32 tensor. Fault::input for another dtype.
  std::vector<double> read_real(const std::string& name) const;
  std::vector<std::int32_t> read_i32(const std::string& name) const;

 private:
  explicit SafetensorsFile(File file) : file_(std::move(file)) {}
  template <class T>
  std::vector<T> read(const Entry& e) const;

  File file_;
  std::map<std::string, Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace tern
