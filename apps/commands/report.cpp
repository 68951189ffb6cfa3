// tern report RUN...: runs as one HTML page.
#include "apps/report/report.h"

#include <cstdio>
#include <memory>

#include "apps/commands/command_line.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

struct ReportOptions {
  std::vector<fs::path> runs{};
  fs::path out = "report.html";
  std::string title{};
};

}  // namespace

void add_report(CLI::App& tern) {
  CLI::App& report = *tern.add_subcommand(
      "report", "Write one HTML page about runs: curves, samples, differences of their configs.");
  const auto options = std::make_shared<ReportOptions>();
  add_list(report, "RUN", options->runs, "run directories, or directories with runs below")
      ->transform(path_argument())
      ->required();
  report.add_option("--out", options->out, "the page; it needs no other file and no network")
      ->transform(path_argument())
      ->capture_default_str();
  report.add_option("--title", options->title, "its heading (default: the name of the run)");
  report.callback([options] {
    write_report(options->runs, options->out, options->title);
    std::printf("%s\n", options->out.c_str());
  });
}

}  // namespace tern
