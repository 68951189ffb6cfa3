// A very small training run driven through the tern command, for the tests of training.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace tern::test {

// One prepared corpus for the whole test program: made on first use, removed at the end.
const std::filesystem::path& tiny_corpus();

class TinyRun {
 public:
  TinyRun();

  // tern train with these overrides and arguments; the run is called `name`
  Command command(const std::string& name, const std::vector<std::string>& overrides = {},
                  const std::vector<std::string>& arguments = {}) const;
  std::filesystem::path directory(const std::string& name) const { return room_.path() / name; }
  std::filesystem::path checkpoint(const std::string& name, int step) const;
  const std::string& config() const { return config_; }  // the file's path
  const std::filesystem::path& room() const { return room_.path(); }

 private:
  TemporaryDirectory room_;
  std::string config_;
};

// While it lives, train() in this process draws no loss curves: it would ask the program that it
// runs in for them, and that is here one of tests.
class WithoutPictures {
 public:
  WithoutPictures();
  ~WithoutPictures();

 private:
  std::string path_;
};

// loss of each step that metrics.jsonl recorded, later lines replacing earlier ones
std::map<int, double> losses(const std::filesystem::path& run);
// how many lines of metrics.jsonl are events of this kind
int events(const std::filesystem::path& run, const std::string& kind);
// lines of metrics.jsonl of these kinds ("val", "sample"), without what clocks say
std::vector<std::string> reports(const std::filesystem::path& run,
                                 const std::vector<std::string>& kinds);
// all tensors of a checkpoint, by name
std::map<std::string, std::string> tensors(const std::filesystem::path& checkpoint);

}  // namespace tern::test
