// How far the preparation of a corpus has come: a line of JSON per commit in DIR/prepare.journal,
// durable before the next one begins. Shards that it does not name do not count.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <vector>

#include "data/corpus/manifest.h"
#include "data/io/files.h"
#include "data/text/text_source.h"

namespace tern {

struct PrepareState {
  TextPosition next;  // where reading goes on
  std::uint64_t skipped_lines = 0;
  std::array<std::vector<CorpusShard>, 2> shards;  // by Split
};

class PrepareJournal {
 public:
  // Makes the directory or takes it up again, and locks it against a second process. Nothing: it
  // holds the finished corpus of these arguments. Fault::usage, saying how to go on: it belongs to
  // other arguments, to another process, or holds anything else.
  static std::optional<PrepareJournal> open(const std::filesystem::path& directory,
                                            const nlohmann::json& arguments,
                                            const std::vector<SourceFile>& sources);

  const PrepareState& state() const { return state_; }
  const std::filesystem::path& directory() const { return directory_; }
  bool resumed() const { return resumed_; }

  // Notes new shards (or none) of each split, whose files are complete, and what was reached.
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
            const std::vector<SourceFile>& sources);
  void append(const nlohmann::json& line);
  void remove_leftovers() const;

  std::filesystem::path directory_;
  File file_;
  std::uint64_t size_ = 0;  // of the whole lines
  PrepareState state_;
  bool resumed_ = false;
};

}  // namespace tern
