#include "data/sources.h"

#include <glob.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <system_error>

#include "core/check.h"
#include "data/byte_stream.h"
#include "data/files.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

struct Kind {
  std::optional<SourceFormat> format;
  Codec codec = Codec::none;
};

Kind kind_of(const fs::path& path) {
  static const std::map<std::string, Codec, std::less<>> codecs = {
      {".gz", Codec::gzip}, {".zst", Codec::zstd}, {".xz", Codec::xz}};
  static const std::map<std::string, SourceFormat, std::less<>> formats = {
      {".txt", SourceFormat::text},
      {".jsonl", SourceFormat::json_lines},
      {".bin", SourceFormat::u16},
      {".u16", SourceFormat::u16},
      {".u32", SourceFormat::u32}};
  Kind kind;
  fs::path name = path.filename();
  if (const auto codec = codecs.find(name.extension().string()); codec != codecs.end()) {
    kind.codec = codec->second;
    name = name.stem();
  }
  if (const auto format = formats.find(name.extension().string()); format != formats.end())
    kind.format = format->second;
  return kind;
}

SourceFile source_at(const fs::path& path, std::optional<SourceFormat> forced) {
  const Kind kind = kind_of(path);
  const std::optional<SourceFormat> format = forced ? forced : kind.format;
  require(
      format.has_value(), Fault::usage, path.string(),
      ": unknown kind of file: expected .txt, .jsonl, .bin, .u16 or .u32, also with .gz, .zst or "
      ".xz, or --format");
  return {path, *format, kind.codec, File::open(path, Links::follow).size()};
}

std::vector<fs::path> files_below(const fs::path& directory, bool any_kind) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::recursive_directory_iterator at(directory, error), end;
  for (; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (at->is_regular_file(ignored) && (any_kind || kind_of(at->path()).format))
      files.push_back(at->path());
  }
  require(!error, Fault::input, directory.string(), ": cannot be searched: ", error.message());
  require(!files.empty(), Fault::input, directory.string(),
          ": holds no file to read (.txt, .jsonl, "
          ".bin, .u16, .u32, also with .gz, .zst or .xz)");
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<fs::path> matches_of(const std::string& pattern) {
  glob_t found{};
  const int code = ::glob(pattern.c_str(), GLOB_ERR, nullptr, &found);
  std::vector<fs::path> paths(found.gl_pathv, found.gl_pathv + (code == 0 ? found.gl_pathc : 0));
  globfree(&found);
  require(code == 0 || code == GLOB_NOMATCH, Fault::input, pattern,
          ": cannot be searched: ", system_message(errno));
  require(!paths.empty(), Fault::input, pattern, ": matches nothing");
  return paths;
}

}  // namespace

std::string_view name_of(SourceFormat format) {
  constexpr std::string_view names[] = {"text", "jsonl", "u16", "u32"};
  return names[std::size_t(format)];
}

std::vector<SourceFile> list_sources(std::span<const std::string> inputs,
                                     std::optional<SourceFormat> forced) {
  std::vector<SourceFile> sources;
  const auto add = [&](const fs::path& path) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    require(fs::exists(status), Fault::input, path.string(), ": ",
            error ? error.message() : "does not exist");
    if (!fs::is_directory(status)) return sources.push_back(source_at(path, forced));
    for (const fs::path& file : files_below(path, forced.has_value()))
      sources.push_back(source_at(file, forced));
  };
  for (const std::string& input : inputs) {
    const bool pattern = input.find_first_of("*?[") != input.npos && !path_exists(input);
    if (input == "-")
      sources.push_back({input, forced.value_or(SourceFormat::text)});
    else if (!pattern)
      add(input);
    else
      for (const fs::path& path : matches_of(input)) add(path);
  }
  const auto is_stdin = [](const SourceFile& s) { return s.path == "-"; };
  require(std::count_if(sources.begin(), sources.end(), is_stdin) <= 1, Fault::usage,
          "standard input (-) is given twice");
  return sources;
}

std::uint64_t decompressed_bytes(const SourceFile& source) {
  if (source.codec == Codec::none) return source.bytes;
  ByteStream stream(source.path, source.codec, source.bytes);
  std::vector<std::byte> scratch(std::size_t(1) << 20);
  while (stream.read(scratch) > 0) {
  }
  return stream.position();
}

}  // namespace tern
