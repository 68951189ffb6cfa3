// Progress of the preparation of a corpus: a line of JSON per commit in DIR/prepare.journal,
// durable before the next commit begins. Shards that the journal does not name do not count.
#pragma once

#include "data/corpus/manifest.h"
#include "data/io/files.h"
#include "data/text/documents.h"

namespace tern {

struct PrepareState {
  TextPosition next;  // where reading continues
  std::uint64_t skipped_lines = 0;
  std::array<std::vector<CorpusShard>, 2> shards;  // by Split
};

// The hash of the tokenizer of what was prepared in a directory, finished or not; "": not known.
std::string stored_tokenizer_hash(const std::filesystem::path& directory);

class PrepareJournal {
 public:
  // Makes the directory, or continues in it, and locks it against a second process. Empty: the
  // directory holds the finished corpus of these arguments. Fault::usage, with a way out: it
  // belongs to other arguments or to another process, or holds other files.
  static std::optional<PrepareJournal> open(const std::filesystem::path& directory,
                                            const nlohmann::json& arguments,
                                            const std::vector<InputFile>& sources);

  const PrepareState& state() const { return state_; }
  const std::filesystem::path& directory() const { return directory_; }
  bool resumed() const { return resumed_; }

  // Appends new shards (or none) of each split, whose files are complete, and the position reached.
  // Fault::usage for more shards than a corpus may have.
  void commit(const std::array<std::optional<CorpusShard>, 2>& shards, const TextPosition& next,
              std::uint64_t skipped_lines);
  void remove();  // once there is a manifest

 private:
  PrepareJournal(std::filesystem::path directory, File file)
      : directory_(std::move(directory)), file_(std::move(file)) {}
  void lock() const;
  void begin(const nlohmann::json& arguments);
  void read(std::string_view text, const nlohmann::json& arguments,
            const std::vector<InputFile>& sources);
  void append(const nlohmann::json& line);
  void remove_leftovers() const;

  std::filesystem::path directory_;
  File file_;
  std::uint64_t size_ = 0;  // of the whole lines
  PrepareState state_;
  bool resumed_ = false;
};

}  // namespace tern
