#include "data/text/source_list.h"

#include <fstream>
#include <functional>

#include "core/check.h"
#include "data/io/files.h"
#include "data/io/hash.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr std::size_t kChunkBytes = std::size_t(1) << 20;

std::string line_of(const std::string& path, std::uint64_t bytes, std::string_view format,
                    std::string_view compression) {
  const json entry = {{"path", fs::path(path).lexically_normal().string()},
                      {"bytes", bytes},
                      {"format", format},
                      {"compression", compression}};
  return entry.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string line_of(const SourceFile& s) {
  return line_of(s.path.string(), s.bytes, name_of(s.format), name_of(s.codec));
}

// of an entry of a list in the manifest; Fault::input if it is damaged
std::string line_of(const json& entry) {
  try {
    return line_of(entry.at("path").get<std::string>(), entry.at("bytes").get<std::uint64_t>(),
                   entry.at("format").get<std::string>(),
                   entry.at("compression").get<std::string>());
  } catch (const json::exception& e) {
    fail(Fault::input, "arguments: sources: damaged: ", e.what());
  }
}

// Calls use with the text of the list, part by part.
template <class Entries>
void for_each_part(const Entries& entries, const std::function<void(std::string_view)>& use) {
  std::string part;
  for (const auto& entry : entries) {
    part += line_of(entry) + '\n';
    if (part.size() < kChunkBytes) continue;
    use(part);
    part.clear();
  }
  use(part);
}

template <class Entries>
json summary_of(const Entries& entries, std::uint64_t bytes) {
  Hash hash;
  for_each_part(entries,
                [&](std::string_view part) { hash.update(std::as_bytes(std::span(part))); });
  return {{"list", kCorpusSourcesName},
          {"files", entries.size()},
          {"bytes", bytes},
          {"xxh3", hash.hex()}};
}

// "a.txt (5 B, text)"
std::string described(const std::string& line) {
  const json entry = json::parse(line, nullptr, false);
  if (!entry.is_object() || !entry.contains("path")) return line.substr(0, 200);
  const std::string compression = entry.value("compression", "");
  return entry.value("path", "") + " (" + std::to_string(entry.value("bytes", std::uint64_t(0))) +
         " B, " + entry.value("format", "") + (compression == "none" ? "" : ", " + compression) +
         ")";
}

// Whether a line names the source by another spelling of its path: absolute, relative or by links.
bool is_same_file(const std::string& line, const SourceFile& source) {
  const json entry = json::parse(line, nullptr, false);
  if (!entry.is_object() || !entry.contains("path") || !entry["path"].is_string()) return false;
  const std::string path = entry["path"].get<std::string>();
  if (path == "-" || source.path == "-") return false;
  std::error_code unknown;
  const fs::path then = fs::weakly_canonical(path, unknown);
  if (then.empty() || then != fs::weakly_canonical(source.path, unknown)) return false;
  json now = json::parse(line_of(source), nullptr, false);
  now["path"] = path;
  return now == entry;
}

}  // namespace

json source_summary(const std::vector<SourceFile>& sources, std::size_t most) {
  require(sources.size() <= most, Fault::input, "expected at most ", most, " input files, got ",
          sources.size(), ": join documents, for example as lines of JSON (.jsonl)");
  std::uint64_t bytes = 0;
  for (const SourceFile& s : sources) bytes += s.bytes;
  return summary_of(sources, bytes);
}

json with_summary(json arguments) {
  if (!arguments.is_object() || !arguments.contains("sources")) return arguments;
  json& sources = arguments["sources"];
  if (!sources.is_array()) return arguments;
  std::uint64_t bytes = 0;
  for (const json& entry : sources)
    if (entry.is_object()) bytes += entry.value("bytes", std::uint64_t(0));
  sources = summary_of(sources, bytes);
  return arguments;
}

void write_source_list(const fs::path& directory, const std::vector<SourceFile>& sources) {
  const fs::path path = directory / kCorpusSourcesName;
  write_file_atomically(path, [&](File& file) {
    for_each_part(sources,
                  [&](std::string_view part) { file.write_all(std::as_bytes(std::span(part))); });
  });
}

std::optional<std::string> source_difference(const fs::path& directory,
                                             const std::vector<SourceFile>& sources) {
  std::ifstream list(directory / kCorpusSourcesName, std::ios::binary);
  if (!list) return std::nullopt;
  std::string line;
  for (std::size_t n = 0; n <= sources.size(); ++n) {
    const bool listed = bool(std::getline(list, line));
    const bool given = n < sources.size();
    if (!listed && !given) return "";
    const std::string now = given ? line_of(sources[n]) : "";
    if (listed && given && (line == now || is_same_file(line, sources[n]))) continue;
    return "input " + std::to_string(n + 1) + ": " + (listed ? described(line) : "none") +
           " then, " + (given ? described(now) : "none") + " now";
  }
  return "";
}

}  // namespace tern
