// What a person sees of a run: permanent lines, below them on a terminal a live status line. All
// permanent lines also go to train.log, with the time, whatever becomes of the terminal.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "apps/run/line_file.h"
#include "apps/run/reports.h"
#include "apps/run/terminal.h"

namespace tern {

struct TableRow {
  std::string key{}, value{};
  std::string note{};  // a third column: where the value comes from, what it means
};

// Not thread-safe: one thread prints.
class Console {
 public:
  // log: the path of train.log, or empty for none. Fault::disk when it cannot be opened.
  explicit Console(int descriptor, const std::filesystem::path& log = {});

  void say(std::string_view text);   // one or several whole lines
  void warn(std::string_view text);  // "warning: text"
  // a heading and aligned columns; an empty key goes on with the row above it
  void table(std::string_view heading, std::span<const TableRow> rows);

  void report(const StepReport&);  // the permanent line of a log interval
  void report(const ValidationReport&);
  void report(const SampleReport&);
  void report(const CheckpointReport&);
  void report(const EventReport&);
  void report(const DiagnosticsReport&);  // the extremes over the layers, in one line
  void report(const RunSummary&);

  // The status line: after every step (drawn at most ten times a second), or what else is going on
  // ("validating"). Nothing where there is no terminal.
  void live(const StepReport&);
  void live(std::string_view activity);
  void end_live() { terminal_.clear_status(); }

  const Terminal& terminal() const { return terminal_; }

 private:
  void permanent(Style style, std::string_view text);
  void permanent(std::string_view styled, std::string_view plain);
  void log(std::string_view lines);

  Terminal terminal_;
  std::optional<LineFile> log_{};
  bool log_failed_ = false;
  double drawn_ = -1;  // when the status line was, in monotonic seconds
};

}  // namespace tern
