// The text output of a run: permanent lines and, on a terminal, a live status line below them. All
// permanent lines also go to train.log, with the time, even when the terminal is gone.
#pragma once

#include "apps/console/reports.h"
#include "apps/console/terminal.h"
#include "apps/system/line_file.h"

namespace tern {

struct TableRow {
  std::string key{}, value{};
  std::string note{};  // a third column: the value's origin or meaning
};

// Not thread-safe: one thread prints.
class Console {
 public:
  // log: the path of train.log, or empty for none. Fault::disk when it cannot be opened.
  explicit Console(int descriptor, const std::filesystem::path& log = {});

  void say(std::string_view text);   // one or several whole lines
  void warn(std::string_view text);  // "warning: text"
  // a heading and aligned columns; an empty key continues the row above
  void table(std::string_view heading, std::span<const TableRow> rows);

  void report(const StepReport&);  // the permanent line of a log interval
  void report(const ValidationReport&);
  void report(const SampleReport&);
  void report(const CheckpointReport&);
  void report(const EventReport&);
  void report(const DiagnosticsReport&);  // the extremes over the layers, in one line
  void report(const RunSummary&);

  // The status line: after every step (drawn at most ten times a second), or another activity
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

// One step as one line. On a narrow line, parts are dropped in the order of gives_way:
// step 1200/20000  6.0%  loss 3.912  mean 3.950  ppl 50.0  lr 3.8e-03  ...  eta 1h07m
// docs/metrics.md names them all.
struct LinePart {
  std::string before{}, value{}, after{};  // "loss ", "3.912", ""
  int gives_way = 0;                       // the highest goes first; 0 stays
  bool alarming = false;

  std::string text() const { return before + value + after; }
};

std::vector<LinePart> step_parts(const StepReport& report);

// "[=====>              ]", for the live line: there it matters more than norm and perplexity
LinePart progress_bar(double share);

// the parts that fit into so many columns, two spaces between them
std::vector<LinePart> fitting(std::vector<LinePart> parts, int columns);

std::string joined(const std::vector<LinePart>& parts);

}  // namespace tern
