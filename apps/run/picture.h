// Keeps the loss curve of a running training up to date without holding it up: `tern plot RUN` runs
// as a child process, at most one at a time.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "apps/run/child.h"

namespace tern {

class Picture {
 public:
  using Warn = std::function<void(const std::string&)>;

  // program: path of tern. warn gets one line if, and only once, a picture cannot be drawn.
  Picture(std::filesystem::path run, Warn warn, std::string program = "/proc/self/exe");

  void refresh();  // returns at once; does nothing while the last picture is being drawn
  void finish();   // draws the final one and waits for it, ten seconds at most

 private:
  bool idle();  // reaps a child that has ended
  void warn_once(const std::string& why);

  std::filesystem::path run_;
  Warn warn_;
  std::string program_;
  std::optional<Child> child_{};
  bool possible_, warned_ = false;
};

}  // namespace tern
