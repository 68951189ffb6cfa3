// sources.jsonl of a corpus: one line of JSON for each of its input files. The manifest holds only
// their number, their bytes and the hash of the list, so its size does not grow with them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/io/json.h"
#include "data/text/sources.h"

namespace tern {

constexpr std::string_view kCorpusSourcesName = "sources.jsonl";
constexpr std::size_t kMaxSources = 20'000'000;  // some 600 B of memory for each

// {"list", "files", "bytes", "xxh3" of the list}. Fault::input for more files than `most`.
nlohmann::json source_summary(const std::vector<SourceFile>& sources,
                              std::size_t most = kMaxSources);

// The arguments of a corpus; a list of files, as earlier releases wrote, becomes its summary.
nlohmann::json with_summary(nlohmann::json arguments);

// Writes directory/sources.jsonl, durably. Fault::disk.
void write_source_list(const std::filesystem::path& directory,
                       const std::vector<SourceFile>& sources);

// The first file in which the list of the directory differs from these: "input 2: a.txt (5 B, text)
// then, b.txt (7 B, text) now". "": they are the same files, perhaps with other spellings of their
// paths. nullopt: there is no list.
std::optional<std::string> source_difference(const std::filesystem::path& directory,
                                             const std::vector<SourceFile>& sources);

}  // namespace tern
