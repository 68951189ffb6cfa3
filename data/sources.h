// Which files a list of inputs means: files, directories, globs and standard input, in a fixed
// order, each with its format, compression and size at this moment.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/decompress.h"

namespace tern {

enum class SourceFormat {
  text,        // one document per file
  json_lines,  // one object with a "text" field per line
  u16,         // token ids, little-endian, no header: one document per file
  u32,
};

std::string_view name_of(SourceFormat format);

struct SourceFile {
  std::filesystem::path path;  // "-": standard input
  SourceFormat format = SourceFormat::text;
  Codec codec = Codec::none;
  std::uint64_t bytes = 0;  // of the file; 0 for standard input
};

using SharedSources = std::shared_ptr<const std::vector<SourceFile>>;  // there may be millions

// The extension decides: .txt .jsonl .bin (u16) .u16 .u32, each also with .gz .zst .xz; `forced`
// overrides it for all inputs, and is what standard input needs unless it is text. Directories are
// searched recursively, in the order of their paths; other files in them are left out.
// Fault::input: an input that does not exist or cannot be read, a glob or directory without a file;
// Fault::usage: an unknown extension.
std::vector<SourceFile> list_sources(std::span<const std::string> inputs,
                                     std::optional<SourceFormat> forced);

// bytes of the source after decompression; reads all of it if it is compressed
std::uint64_t decompressed_bytes(const SourceFile& source);

}  // namespace tern
