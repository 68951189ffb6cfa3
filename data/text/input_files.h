// Input files: files, directories, globs and standard input become a list in a fixed order, each
// file with its format, compression and present size.
#pragma once

#include "data/io/byte_stream.h"
#include "data/io/json.h"

namespace tern {

enum class InputFormat {
  text,        // one document per file, or several with a separator
  json_lines,  // one object per line, the document in one of its fields
  u16,         // token ids, little-endian, no header: one document per file
  u32,
};

std::string_view name_of(InputFormat format);

struct InputFile {
  std::filesystem::path path;  // "-": standard input
  InputFormat format = InputFormat::text;
  Codec codec = Codec::none;
  std::uint64_t bytes = 0;  // of the file; 0 for standard input
};

using SharedSources = std::shared_ptr<const std::vector<InputFile>>;  // there may be millions

constexpr std::size_t kMaxSeparatorBytes = 1024;

// Rules that divide sources into documents.
struct DocumentRules {
  std::string separator{};          // between documents of a text; empty: a file is one document
  std::string json_field = "text";  // of a JSON line; "a.b": field b of the object in field a
};

// Receives one line about the files of a directory that are left out, by kind.
using Notice = std::function<void(const std::string&)>;

// The extension decides, in any case: .txt .text .md .markdown .rst, .jsonl .ndjson, .bin (u16)
// .u16 .u32, each also with .gz .zst .xz. `forced` overrides it for all inputs; standard input
// needs it unless it is text. Directories are searched recursively, in the order of their paths.
// Left out of them, with a notice: hidden names, other extensions (unless forced), entries that are
// no files, and repeated ones: linked directories and files count once. Fault::input: an input that
// does not exist or cannot be read, a glob or directory without a file; Fault::usage: an unknown
// extension.
std::vector<InputFile> list_inputs(std::span<const std::string> inputs,
                                   std::optional<InputFormat> forced, const Notice& notice = {});

// Bytes of the source after decompression. Reads all of it if it is compressed.
std::uint64_t decompressed_bytes(const InputFile& source);

// Checks the width of the ids in token files, which the files do not state: their first ids must
// make sense at the width given by the name or by --format. forced: --format was given, only an
// impossible width is an error. Fault::input, naming the file and the --format that fits: .bin with
// a vocabulary that 16 bits do not hold, half an id at the end, first ids that are right at the
// other width only, or that look like the other width.
void check_token_files(const std::vector<InputFile>& sources, bool forced, std::int32_t vocab_size);

// sources.jsonl of a corpus: one line of JSON for each of its input files. The manifest holds only
// their number, their bytes and the hash of the list, so its size does not grow with them.
constexpr std::string_view kCorpusSourcesName = "sources.jsonl";
constexpr std::size_t kMaxSources = 20'000'000;  // some 600 B of memory for each

// {"list", "files", "bytes", "xxh3" of the list}. Fault::input for more files than `most`.
nlohmann::json source_summary(const std::vector<InputFile>& sources,
                              std::size_t most = kMaxSources);

// The arguments of a corpus; a list of files, as earlier releases wrote, becomes its summary.
nlohmann::json with_summary(nlohmann::json arguments);

// Writes directory/sources.jsonl, durably. Fault::disk.
void write_source_list(const std::filesystem::path& directory,
                       const std::vector<InputFile>& sources);

// The first file in which the list of the directory differs from these: "input 2: a.txt (5 B, text)
// then, b.txt (7 B, text) now". "": they are the same files, perhaps with other spellings of their
// paths. nullopt: there is no list.
std::optional<std::string> source_difference(const std::filesystem::path& directory,
                                             const std::vector<InputFile>& sources);

}  // namespace tern
