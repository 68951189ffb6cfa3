#include "data/text/input_files.h"

#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <system_error>

#include "core/check.h"
#include "data/io/byte_stream.h"
#include "data/io/files.h"
#include "data/io/hash.h"

namespace tern {

namespace fs = std::filesystem;
namespace {

constexpr const char* kExtensions =
    ".txt, .text, .md, .markdown, .rst, .jsonl, .ndjson, .bin, .u16 or .u32, also with .gz, .zst "
    "or .xz";

struct Kind {
  std::optional<InputFormat> format;
  Codec codec = Codec::none;
};

std::string lower_case(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
  return text;
}

Kind kind_of(const fs::path& path) {
  static const std::map<std::string, Codec, std::less<>> codecs = {
      {".gz", Codec::gzip}, {".zst", Codec::zstd}, {".xz", Codec::xz}};
  static const std::map<std::string, InputFormat, std::less<>> formats = {
      {".txt", InputFormat::text},          {".text", InputFormat::text},
      {".md", InputFormat::text},           {".markdown", InputFormat::text},
      {".rst", InputFormat::text},          {".jsonl", InputFormat::json_lines},
      {".ndjson", InputFormat::json_lines}, {".bin", InputFormat::u16},
      {".u16", InputFormat::u16},           {".u32", InputFormat::u32}};
  Kind kind;
  fs::path name = lower_case(path.filename());
  if (const auto codec = codecs.find(name.extension().string()); codec != codecs.end()) {
    kind.codec = codec->second;
    name = name.stem();
  }
  if (const auto format = formats.find(name.extension().string()); format != formats.end())
    kind.format = format->second;
  return kind;
}

InputFile source_at(const fs::path& path, std::optional<InputFormat> forced) {
  const Kind kind = kind_of(path);
  const std::optional<InputFormat> format = forced ? forced : kind.format;
  require(format.has_value(), Fault::usage, path.string(), ": unknown kind of file: expected ",
          kExtensions, ", or --format");
  return {path, *format, kind.codec, File::open(path, Links::follow).size()};
}

// Files that a search left out: the number of each kind, and the names of the first few.
class LeftOut {
 public:
  void add(const std::string& kind, const fs::path& path) {
    Group& group = groups_[kind];
    if (++group.count <= kShownNames) group.names += (group.count > 1 ? ", " : "") + path.string();
  }
  bool empty() const { return groups_.empty(); }
  // "3 .pdf (a.pdf, b.pdf, c.pdf), 9 hidden (.git, .x, .y, ...)"
  std::string text() const {
    std::string out;
    std::size_t shown = 0, others = 0;
    for (const auto& [kind, group] : groups_) {
      if (++shown > kShownKinds) {
        others += group.count;
        continue;
      }
      out += (out.empty() ? "" : ", ") + std::to_string(group.count) + " " + kind + " (" +
             group.names + (group.count > kShownNames ? ", ...)" : ")");
    }
    return out + (others > 0 ? ", " + std::to_string(others) + " others" : "");
  }

 private:
  static constexpr std::size_t kShownNames = 3, kShownKinds = 12;
  struct Group {
    std::size_t count = 0;
    std::string names;
  };
  std::map<std::string, Group> groups_;
};

// The files below a directory. Links to directories are followed last, each directory once. Of
// several names of one file the first that is no link counts.
class Search {
 public:
  Search(fs::path directory, bool any_kind) : top_(std::move(directory)), any_kind_(any_kind) {}

  std::vector<fs::path> run() {
    links_.insert(top_);
    while (!links_.empty()) {
      const fs::path next = links_.extract(links_.begin()).value();
      linked_ = next != top_;
      visit(next);
    }
    std::sort(found_.begin(), found_.end());
    std::vector<fs::path> files;
    for (Found& f : found_)
      if (met_.insert(f.id).second)
        files.push_back(std::move(f.path));
      else
        left_out_.add("met before", below(f.path));
    std::sort(files.begin(), files.end());
    return files;
  }

  const LeftOut& left_out() const { return left_out_; }

 private:
  using Id = std::pair<dev_t, ino_t>;
  struct Found {
    bool linked;
    fs::path path;
    Id id;
    auto operator<=>(const Found&) const = default;
  };

  fs::path below(const fs::path& path) const { return path.lexically_relative(top_); }

  void visit(const fs::path& directory) {
    struct stat facts {};
    if (::stat(directory.c_str(), &facts) == 0 && !met_.insert({facts.st_dev, facts.st_ino}).second)
      return left_out_.add("met before", below(directory));
    std::error_code error;
    std::vector<fs::path> inside;
    for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error))
      inside.push_back(at->path());
    require(!error, Fault::input, directory.string(), ": cannot be searched: ", error.message());
    std::sort(inside.begin(), inside.end());
    for (const fs::path& path : inside) take(path);
  }

  void take(const fs::path& path) {
    if (path.filename().string().starts_with('.')) return left_out_.add("hidden", below(path));
    std::error_code ignored;
    const bool link = fs::is_symlink(path, ignored);
    struct stat facts {};
    if (::stat(path.c_str(), &facts) != 0)
      return left_out_.add(link ? "broken links" : "unreadable", below(path));
    if (S_ISDIR(facts.st_mode)) {
      if (!link) return visit(path);
      links_.insert(path);
    } else if (!S_ISREG(facts.st_mode)) {
      left_out_.add("no regular files", below(path));
    } else if (!any_kind_ && !kind_of(path).format) {
      const std::string extension = lower_case(path.extension().string());
      left_out_.add(extension.empty() ? "without extension" : extension, below(path));
    } else {
      found_.push_back({linked_ || link, path, {facts.st_dev, facts.st_ino}});
    }
  }

  const fs::path top_;
  const bool any_kind_;
  bool linked_ = false;       // inside a linked directory
  std::set<fs::path> links_;  // to directories, not yet followed
  std::set<Id> met_;
  std::vector<Found> found_;
  LeftOut left_out_;
};

std::vector<fs::path> files_below(const fs::path& directory, bool any_kind, const Notice& notice) {
  Search search(directory, any_kind);
  std::vector<fs::path> files = search.run();
  const std::string left_out = search.left_out().text();
  require(!files.empty(), Fault::input, directory.string(), ": holds no file to read (",
          kExtensions, ")", left_out.empty() ? "" : "; left out: ", left_out);
  if (notice && !search.left_out().empty()) notice(directory.string() + ": left out: " + left_out);
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

constexpr std::size_t kLookedAt = std::size_t(64) << 10;  // bytes
constexpr std::size_t kEnough = 16;                       // ids, to tell what they look like

std::vector<std::byte> first_bytes(const InputFile& source) {
  std::vector<std::byte> bytes(kLookedAt);
  ByteStream stream(source.path, source.codec, source.bytes);
  bytes.resize(stream.read(bytes));
  return bytes;
}

struct FirstIds {
  std::size_t ids = 0, zeros = 0;
  bool in_range = true;  // all of them
};

template <class Stored>
FirstIds first_ids(const std::vector<std::byte>& bytes, std::int32_t vocab_size) {
  FirstIds seen{.ids = bytes.size() / sizeof(Stored)};
  for (std::size_t i = 0; i < seen.ids; ++i) {
    Stored id;
    std::memcpy(&id, bytes.data() + i * sizeof id, sizeof id);
    seen.zeros += id == 0;
    seen.in_range = seen.in_range && id < std::uint32_t(vocab_size);
  }
  return seen;
}

void check_token_file(const InputFile& source, bool forced, std::int32_t vocab_size) {
  const std::string where = source.path.string();
  const bool wide = source.format == InputFormat::u32;
  const std::size_t width = wide ? 4 : 2;
  const std::string_view other = wide ? "--format u16" : "--format u32";
  require(source.codec != Codec::none || source.bytes % width == 0, Fault::input, where,
          ": expected whole ", name_of(source.format), " tokens, got ", source.bytes % width,
          " B too many at byte ", source.bytes / width * width,
          source.bytes % width == 2 ? ": are they 16-bit ids (--format u16)?" : "");
  const std::vector<std::byte> bytes = first_bytes(source);
  const FirstIds narrow = first_ids<std::uint16_t>(bytes, vocab_size);
  const FirstIds broad = first_ids<std::uint32_t>(bytes, vocab_size);
  const FirstIds& given = wide ? broad : narrow;
  const FirstIds& instead = wide ? narrow : broad;
  require(given.in_range || !instead.in_range || instead.ids == 0, Fault::input, where,
          ": its first ids are in a vocabulary of ", vocab_size, " as ", wide ? 16 : 32,
          "-bit numbers only, it is read as ", wide ? 32 : 16, "-bit: give ", other);
  // 32-bit ids below 65,536 are 16-bit ids every other one of which is 0.
  const bool looks_wide =
      broad.ids >= kEnough && broad.in_range && broad.zeros * 2 < broad.ids && !wide && !forced;
  require(!looks_wide || vocab_size > 65'536, Fault::input, where,
          ": looks like 32-bit ids, it is read as 16-bit: give --format u32 (or --format u16 if "
          "every other id is 0)");
}

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

std::string line_of(const InputFile& s) {
  return line_of(s.path.string(), s.bytes, name_of(s.format), name_of(s.codec));
}

// of an entry of a list in the manifest; Fault::input if it is damaged
std::string line_of(const json& entry) {
  try {
    return line_of(
        entry.at("path").get<std::string>(), json_number(entry, "bytes", "arguments: sources"),
        entry.at("format").get<std::string>(), entry.at("compression").get<std::string>());
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
  const auto member = [&](const char* key) {
    return entry.is_object() ? entry.value(key, json()) : json();
  };
  const json path = member("path"), bytes = member("bytes"), format = member("format"),
             compression = member("compression");
  if (!path.is_string() || !bytes.is_number_unsigned() || !format.is_string() ||
      !compression.is_string())
    return line.substr(0, 200);
  return path.get<std::string>() + " (" + bytes.dump() + " B, " + format.get<std::string>() +
         (compression == "none" ? "" : ", " + compression.get<std::string>()) + ")";
}

// Whether a line names the source by another spelling of its path: absolute, relative or by links.
bool is_same_file(const std::string& line, const InputFile& source) {
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

std::string_view name_of(InputFormat format) {
  constexpr std::string_view names[] = {"text", "jsonl", "u16", "u32"};
  return names[std::size_t(format)];
}

std::vector<InputFile> list_inputs(std::span<const std::string> inputs,
                                   std::optional<InputFormat> forced, const Notice& notice) {
  std::vector<InputFile> sources;
  const auto add = [&](const fs::path& path) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    require(fs::exists(status), Fault::input, path.string(), ": ",
            error ? error.message() : "does not exist");
    if (!fs::is_directory(status)) return sources.push_back(source_at(path, forced));
    for (const fs::path& file : files_below(path, forced.has_value(), notice))
      sources.push_back(source_at(file, forced));
  };
  for (const std::string& input : inputs) {
    const bool pattern = input.find_first_of("*?[") != input.npos && !path_exists(input);
    if (input == "-")
      sources.push_back({input, forced.value_or(InputFormat::text)});
    else if (!pattern)
      add(input);
    else
      for (const fs::path& path : matches_of(input)) add(path);
  }
  const auto is_stdin = [](const InputFile& s) { return s.path == "-"; };
  require(std::count_if(sources.begin(), sources.end(), is_stdin) <= 1, Fault::usage,
          "standard input (-) is given twice");
  return sources;
}

std::uint64_t decompressed_bytes(const InputFile& source) {
  if (source.codec == Codec::none) return source.bytes;
  ByteStream stream(source.path, source.codec, source.bytes);
  std::vector<std::byte> scratch(std::size_t(1) << 20);
  while (stream.read(scratch) > 0) {
  }
  return stream.position();
}

void check_token_files(const std::vector<InputFile>& sources, bool forced,
                       std::int32_t vocab_size) {
  for (const InputFile& source : sources) {
    const bool wide = source.format == InputFormat::u32;
    if (source.path == "-" || (!wide && source.format != InputFormat::u16)) continue;
    const std::filesystem::path name =
        source.codec == Codec::none ? source.path : source.path.stem();
    require(
        forced || wide || lower_case(name.extension().string()) != ".bin" || vocab_size <= 65'536,
        Fault::input, source.path.string(),
        ": .bin is read as 16-bit ids, which do not hold a vocabulary of ", vocab_size,
        ": give --format u32 (or --format u16 if no id is above 65535)");
    check_token_file(source, forced, vocab_size);
  }
}

json source_summary(const std::vector<InputFile>& sources, std::size_t most) {
  require(sources.size() <= most, Fault::input, "expected at most ", most, " input files, got ",
          sources.size(), ": join documents, for example as lines of JSON (.jsonl)");
  std::uint64_t bytes = 0;
  for (const InputFile& s : sources) bytes += s.bytes;
  return summary_of(sources, bytes);
}

json with_summary(json arguments) {
  if (!arguments.is_object() || !arguments.contains("sources")) return arguments;
  json& sources = arguments["sources"];
  if (!sources.is_array()) return arguments;
  std::uint64_t bytes = 0;
  for (const json& entry : sources) bytes += json_number(entry, "bytes", "arguments: sources");
  sources = summary_of(sources, bytes);
  return arguments;
}

void write_source_list(const fs::path& directory, const std::vector<InputFile>& sources) {
  const fs::path path = directory / kCorpusSourcesName;
  write_file_atomically(path, [&](File& file) {
    for_each_part(sources,
                  [&](std::string_view part) { file.write_all(std::as_bytes(std::span(part))); });
  });
}

std::optional<std::string> source_difference(const fs::path& directory,
                                             const std::vector<InputFile>& sources) {
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
