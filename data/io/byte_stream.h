// The bytes of one file, decompressed while they are read. The size is fixed when the file is
// opened: bytes appended later are not read, and a file that became shorter is an error.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "data/io/files.h"

namespace tern {

enum class Codec { none, gzip, zstd, xz };

std::string_view name_of(Codec codec);

// Streaming gzip, zstd and xz behind one step function. Memory is bounded: zstd windows to 2^27, xz
// to 256 MiB.
class Decompressor {
 public:
  explicit Decompressor(Codec codec);  // not Codec::none
  Decompressor(Decompressor&&) noexcept;
  Decompressor& operator=(Decompressor&&) noexcept;
  ~Decompressor();

  struct Step {
    std::size_t read = 0, written = 0;
    bool complete = false;        // the input may end here
    const char* error = nullptr;  // why the input is invalid
  };
  // Reads from in, writes to out. Concatenated members are one text, as for the command-line tools.
  Step step(std::span<const std::byte> in, std::span<std::byte> out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class ByteStream {
 public:
  // A regular file of at least this many bytes (Fault::input else), or "-", standard input.
  ByteStream(const std::filesystem::path& path, Codec codec, std::uint64_t bytes);

  // Fills the span as far as the stream goes; 0 at its end. Fault::input: cut off, damaged, or more
  // than a thousand times as large as the file.
  std::size_t read(std::span<std::byte> out);
  void skip(std::uint64_t bytes);  // Fault::input when the stream ends before

  std::uint64_t position() const { return produced_; }  // bytes returned so far
  std::uint64_t consumed() const { return consumed_; }  // bytes read from the file so far

 private:
  std::size_t read_raw(std::span<std::byte> out);
  std::size_t read_decompressed(std::span<std::byte> out);

  std::filesystem::path path_;
  std::optional<File> file_;  // none: standard input
  std::optional<Decompressor> decompressor_;
  std::uint64_t bytes_, consumed_ = 0, produced_ = 0;
  std::vector<std::byte> buffer_;       // compressed bytes
  std::span<const std::byte> pending_;  // the part of buffer_ not yet decompressed
};

// Versions of the libraries that read and write files, for env.json and `tern info`.

std::map<std::string, std::string> data_library_versions();  // {"HDF5", "1.10.8"}

}  // namespace tern
