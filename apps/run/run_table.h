// A table of runs: what differs in their configurations, how far they are, how good they became.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "apps/run/run_history.h"

namespace tern {

struct RunRow {
  std::string name{};
  std::filesystem::path path{};
  RunState state = RunState::unknown;
  std::int64_t step = 0, steps = 0;  // done, planned; 0: unknown
  std::int64_t tokens = 0;
  double parameters = kUnknown;         // all of them
  double gemm_parameters = kUnknown;    // those that products multiply by: of blocks and head
  double body = kUnknown;               // of the blocks alone
  std::string family{};                 // "matmulfree ternary"; "": unknown
  double flop = kUnknown;               // of all steps: products and attention
  double seconds = kUnknown;            // without pauses
  double tokens_per_second = kUnknown;  // median of the lines
  double train_loss = kUnknown;         // running mean, nats per token
  double val_loss = kUnknown, best_val_loss = kUnknown;  // the last, and the lowest
  double bits_per_byte = kUnknown;                       // of the last
  // keys that differ among the runs, except the run's name and directory, and this run's values as
  // TOML; "" if it has no such key or its configuration cannot be read
  std::map<std::string, std::string> settings{};
};

// One row for each run, in their order. Fault::input as read_run().
std::vector<RunRow> run_rows(const std::vector<std::filesystem::path>& runs);

// Sorts by a column: one of run_columns() or a key of the settings; unknown values come last.
// Fault::usage if there is no such column.
void sort_rows(std::vector<RunRow>& rows, const std::string& column, bool descending);
std::vector<std::string> run_columns();

std::string rows_text(const std::vector<RunRow>& rows);  // aligned, for people
std::string rows_csv(const std::vector<RunRow>& rows);   // RFC 4180, full precision
std::string rows_json(const std::vector<RunRow>& rows);  // a list of objects; unknown: null

}  // namespace tern
