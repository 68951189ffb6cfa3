// tern runs DIR...: a table of runs.
#include <cstdio>
#include <memory>

#include "apps/commands/command_line.h"
#include "apps/run/run_table.h"

namespace tern {
namespace {

struct RunsOptions {
  std::vector<std::filesystem::path> paths{};
  std::string sort{};
  bool descending = false, csv = false, json = false;
};

}  // namespace

void add_runs(CLI::App& tern) {
  CLI::App& runs =
      *tern.add_subcommand("runs", "A table of runs: what differs, how far, how good.");
  const auto options = std::make_shared<RunsOptions>();
  add_list(runs, "DIR", options->paths, "run directories, or directories with runs below them")
      ->transform(path_argument())
      ->required();
  runs.add_option("--sort", options->sort,
                  "a column of --csv to sort by, or a key of the configuration; default: by path");
  runs.add_flag("--descending", options->descending, "the largest first");
  CLI::Option* csv = runs.add_flag("--csv", options->csv, "comma-separated values");
  runs.add_flag("--json", options->json, "a list of objects")->excludes(csv);
  runs.callback([options] {
    std::vector<RunRow> rows = run_rows(find_runs(options->paths));
    if (!options->sort.empty()) sort_rows(rows, options->sort, options->descending);
    const std::string text = options->csv    ? rows_csv(rows)
                             : options->json ? rows_json(rows)
                                             : rows_text(rows);
    std::fputs(text.c_str(), stdout);
  });
}

}  // namespace tern
