#include "data/corpus/prepare_journal.h"

#include <sys/file.h>

#include <algorithm>
#include <set>
#include <system_error>

#include "core/check.h"
#include "data/io/hdf5.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

// A line for each commit, of at most two shards; journals of earlier releases also list the inputs.
constexpr std::uint64_t kMaxJournalBytes = kMaxCorpusManifestBytes;
static_assert(kMaxCorpusShards * 1024 + kMaxCorpusArgumentBytes * 2 < kMaxJournalBytes);

std::string line_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

// the value as it reads back from the journal
json stored(const json& value) {
  return json::parse(line_of(value));
}

json to_json(const TextPosition& p) {
  return {{"source", p.source},     {"offset", p.offset}, {"line", p.line},
          {"document", p.document}, {"inside", p.inside}, {"tail", p.tail}};
}

TextPosition position_from(const json& v, const std::string& where) {
  return {.source = json_number(v, "source", where),
          .offset = json_number(v, "offset", where),
          .line = json_number(v, "line", where),
          .document = json_number(v, "document", where),
          .inside = v.at("inside").get<bool>(),
          .tail = v.at("tail").get<bool>()};
}

// "0.1 then, 0.2 now". Of long texts that begin alike the beginnings are left out.
std::string then_and_now(const json& then, const json& now) {
  constexpr std::size_t kShown = 60;
  const auto text_of = [](const json& value) {
    if (value.is_null()) return std::string("none");
    return value.dump(-1, ' ', true, json::error_handler_t::replace);
  };
  const std::string before = text_of(then), after = text_of(now);
  std::size_t alike = 0;
  while (alike < std::min(before.size(), after.size()) && before[alike] == after[alike]) ++alike;
  const std::size_t from = alike < kShown - 20 ? 0 : alike - 20;
  const auto cut = [&](const std::string& text) {
    return (from > 0 ? "..." : "") + text.substr(from, kShown) +
           (text.size() > from + kShown ? "..." : "");
  };
  return cut(before) + " then, " + cut(after) + " now";
}

// "validation: 0.1 then, 0.2 now"; of the inputs, the first that differs. "": they mean the same.
std::string difference(const fs::path& directory, const json& then, const json& now,
                       const std::vector<InputFile>& sources) {
  std::string text;
  const auto compare = [&](const std::string& key, const json& before, const json& after) {
    if (before == after) return;
    std::optional<std::string> input;
    if (key == "sources") input = source_difference(directory, sources);
    if (input && input->empty()) return;
    text += (text.empty() ? "" : "; ") + input.value_or(key + ": " + then_and_now(before, after));
  };
  for (const auto& [key, value] : now.items())
    compare(key, then.is_object() ? then.value(key, json()) : json(), value);
  if (then.is_object())
    for (const auto& [key, value] : then.items())
      if (!now.contains(key)) compare(key, value, json());
  return text;
}

// Whether the directory holds the finished corpus of these arguments.
bool is_finished(const fs::path& directory, const json& arguments,
                 const std::vector<InputFile>& sources) {
  const fs::path path = directory / kCorpusManifestName;
  if (!path_exists(path, Fault::disk)) return false;
  const CorpusManifest manifest =
      parse_corpus_manifest(read_file(path, kMaxCorpusManifestBytes), path.string());
  const std::string other = difference(directory, manifest.arguments, stored(arguments), sources);
  require(other.empty(), Fault::usage, directory.string(),
          ": holds a corpus made from other arguments (", other,
          "): choose another --out, or delete it");
  return true;
}

fs::directory_iterator entries_of(const fs::path& directory) {
  std::error_code error;
  fs::directory_iterator entries(directory, error);
  require(!error, Fault::disk, directory.string(), ": cannot be listed: ", error.message());
  return entries;
}

bool is_ours(const fs::path& name) {
  return name == kModelFileName || name == kJsonFileName || name == kCorpusSourcesName ||
         name == kPrepareJournalName || name.extension() == ".tmp";
}

}  // namespace

std::string stored_tokenizer_hash(const fs::path& directory) {
  try {
    const fs::path finished = directory / kCorpusManifestName,
                   begun = directory / kPrepareJournalName;
    if (path_exists(finished, Fault::disk))
      return parse_corpus_manifest(read_file(finished, kMaxCorpusManifestBytes), finished.string())
          .tokenizer_hash;
    if (!path_exists(begun, Fault::disk)) return "";
    const std::string text = read_file(begun, kMaxJournalBytes);
    const json line = parse_json(text.substr(0, text.find('\n')), begun.string());
    return line.at("arguments").at("tokenizer_xxh3").get<std::string>();
  } catch (const Error&) {  // PrepareJournal::open reports what is wrong
    return "";
  } catch (const json::exception&) {
    return "";
  }
}

std::optional<PrepareJournal> PrepareJournal::open(const fs::path& directory, const json& arguments,
                                                   const std::vector<InputFile>& sources) {
  require_argument_size(arguments);
  std::error_code error;
  fs::create_directories(directory, error);
  require(!error, Fault::disk, directory.string(), ": cannot be made: ", error.message());
  const fs::path path = directory / kPrepareJournalName;
  if (is_finished(directory, arguments, sources)) {
    fs::remove(path, error);
    return std::nullopt;
  }
  const bool exists = path_exists(path, Fault::disk);
  if (!exists)
    for (const auto& entry : entries_of(directory))
      require(is_ours(entry.path().filename()), Fault::usage, directory.string(),
              ": is not empty and holds no corpus: choose another --out");
  PrepareJournal journal(directory, exists ? File::open_to_write(path) : File::create(path));
  journal.lock();
  const std::string text = read_file(path, kMaxJournalBytes);
  if (text.find('\n') == text.npos)
    journal.begin(arguments);
  else
    journal.read(text, arguments, sources);
  journal.remove_leftovers();
  return journal;
}

void PrepareJournal::lock() const {
  require(::flock(file_.descriptor(), LOCK_EX | LOCK_NB) == 0, Fault::usage, directory_.string(),
          ": another tern prepare is working here");
}

void PrepareJournal::begin(const json& arguments) {
  file_.resize(0);
  append({{"format", kCorpusFormat}, {"arguments", arguments}});
  fsync_directory(directory_);
}

void PrepareJournal::read(std::string_view text, const json& arguments,
                          const std::vector<InputFile>& sources) {
  const std::string where = file_.path().string();
  bool first = true;
  for (std::size_t end; (end = text.find('\n', size_)) != text.npos; size_ = end + 1) {
    const json line = parse_json(text.substr(size_, end - size_), where);
    try {
      if (first) {
        require(line.at("format") == kCorpusFormat, Fault::usage, directory_.string(),
                ": holds an unfinished corpus of another release of tern: finish it with that, ",
                "choose another --out, or delete the directory");
        const std::string other =
            difference(directory_, with_summary(line.at("arguments")), stored(arguments), sources);
        require(other.empty(), Fault::usage, directory_.string(),
                ": holds an unfinished corpus of other arguments (", other,
                "): finish it with those, choose another --out, or delete the directory");
      } else {
        state_.next = position_from(line.at("next"), where);
        require(state_.next.source <= sources.size() &&
                    (!state_.next.inside || state_.next.document > 0),
                Fault::input, where, ": damaged: expected a position in the ", sources.size(),
                " input files: delete the directory and prepare anew");
        state_.skipped_lines = json_number(line, "skipped_lines", where);
        for (const Split split : kSplits)
          if (const json& shard = line.at(std::string(name_of(split))); !shard.is_null())
            state_.shards[std::size_t(split)].push_back(shard_from_json(shard, where));
        resumed_ = true;
      }
    } catch (const json::exception& e) {
      fail(Fault::input, where, ": damaged: ", e.what(), ": delete the directory and prepare anew");
    }
    first = false;
  }
  file_.resize(size_);  // a line that a crash cut off
  for (const auto& shards : state_.shards)
    for (const CorpusShard& shard : shards) read_structure(File::open(directory_ / shard.file));
}

void PrepareJournal::append(const json& line) {
  const std::string text = line_of(line);
  file_.pwrite_all(size_, std::as_bytes(std::span(text)));
  file_.sync();
  size_ += text.size();
}

void PrepareJournal::commit(const std::array<std::optional<CorpusShard>, 2>& shards,
                            const TextPosition& next, std::uint64_t skipped_lines) {
  require_shard_count(state_.shards[0].size() + state_.shards[1].size() +
                      std::size_t(shards[0].has_value()) + std::size_t(shards[1].has_value()));
  json line = {{"next", to_json(next)}, {"skipped_lines", skipped_lines}};
  for (const Split split : kSplits) {
    const std::optional<CorpusShard>& shard = shards[std::size_t(split)];
    line[std::string(name_of(split))] = shard ? tern::to_json(*shard) : json();
    if (shard) state_.shards[std::size_t(split)].push_back(*shard);
  }
  fsync_directory(directory_);
  append(line);
  state_.next = next;
  state_.skipped_lines = skipped_lines;
}

void PrepareJournal::remove() {
  std::error_code error;
  fs::remove(file_.path(), error);
  fsync_directory(directory_);
}

// Shards that were written but not committed, and half-written files.
void PrepareJournal::remove_leftovers() const {
  std::set<std::string> known;
  for (const auto& shards : state_.shards)
    for (const CorpusShard& shard : shards) known.insert(shard.file);
  for (const auto& entry : entries_of(directory_)) {
    const fs::path name = entry.path().filename();
    if (name.extension() == ".tmp" ||
        (name.extension() == ".h5" && !known.contains(name.string()))) {
      std::error_code ignored;
      fs::remove(entry.path(), ignored);
    }
  }
}

}  // namespace tern
