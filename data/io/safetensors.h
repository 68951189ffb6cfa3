// .safetensors files: u64 header length, JSON header, raw little-endian tensors without gaps. Every
// number in the header is checked against the file before use. Source of the format and its limits:
// Hugging Face's safetensors.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "data/io/mapped_file.h"
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
  std::uint64_t header_bytes() const { return header_bytes_; }  // its length too: tensors follow
  const std::map<std::string, Entry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  bool contains(const std::string& name) const { return entries_.contains(name); }
  const Entry& entry(const std::string& name) const;  // Fault::input if there is none

  // Bytes of a tensor, from `offset` in it on. Fault::input if the file has changed since it was
  // opened.
  void read(const Entry& entry, std::uint64_t offset, std::span<std::byte> to) const;

  // All of the file in memory, entries at their offsets. Fault::input if its size has changed since
  // it was opened.
  std::shared_ptr<const MappedFile> map() const;

  // F32 or F64 tensor as doubles; I32 tensor. Fault::input for another dtype.
  std::vector<double> read_real(const std::string& name) const;
  std::vector<std::int32_t> read_i32(const std::string& name) const;

 private:
  explicit SafetensorsFile(File file) : file_(std::move(file)), identity_(file_.identity()) {}

  File file_;
  FileIdentity identity_;  // when it was opened
  std::uint64_t header_bytes_ = 0;
  std::map<std::string, Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

// A tensor to write.
struct SafetensorsTensor {
  std::string name;
  StoredType type = StoredType::f32;
  std::vector<std::int64_t> shape;
  std::uint64_t bytes() const;
};

// Writes into an empty file, which the caller syncs: the header, then all tensors' bytes in the
// order of the list. They begin at a multiple of kSafetensorsAlignment. Written in whole blocks of
// a large page, which is what a file system then keeps the file in. Fault::disk.
inline constexpr std::uint64_t kSafetensorsAlignment = 64;
class SafetensorsWriter {
 public:
  // metadata: without any transformers refuses the file
  SafetensorsWriter(File& file, std::span<const SafetensorsTensor> tensors,
                    const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

  void append(std::span<const std::byte> bytes);  // the next ones, any number
  std::shared_ptr<const MappedFile> written();    // the file with all of them so far
  void finish();                                  // after the last: checks that none is missing

 private:
  void write(std::span<const std::byte> bytes);
  void flush();

  File& file_;
  std::uint64_t missing_ = 0;       // bytes of tensors
  std::vector<std::byte> block_{};  // not in the file yet
  std::uint64_t end_ = 0;           // of the file with them
};

}  // namespace tern
