// tern plot RUN...: the loss curves of one or several runs as a picture.
#include "apps/plot/plot.h"

#include <cstdio>
#include <memory>

#include "apps/commands/command_line.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

struct PlotOptions {
  std::vector<fs::path> runs{};
  fs::path out{};
  std::string over = "tokens";
};

// RUN/loss.png for one run, loss.png here for several or for a metrics file
fs::path default_picture(const std::vector<fs::path>& runs) {
  return runs.size() == 1 && fs::is_directory(runs[0]) ? runs[0] / "loss.png" : "loss.png";
}

}  // namespace

void add_plot(CLI::App& tern) {
  CLI::App& plot = *tern.add_subcommand("plot", "Draw the loss curves of runs as a PNG.");
  const auto options = std::make_shared<PlotOptions>();
  add_list(plot, "RUN", options->runs, "run directories, or metrics.jsonl files")
      ->transform(path_argument())
      ->required();
  plot.add_option("--out", options->out,
                  "the picture (default: RUN/loss.png, or loss.png for several)")
      ->transform(path_argument());
  plot.add_option("--over", options->over, "the x axis; both: side by side")
      ->check(CLI::IsMember({"tokens", "seconds", "both"}))
      ->capture_default_str();
  plot.callback([options] {
    const fs::path out = options->out.empty() ? default_picture(options->runs) : options->out;
    std::vector<PlotAxis> axes;
    if (options->over != "seconds") axes.push_back(PlotAxis::tokens);
    if (options->over != "tokens") axes.push_back(PlotAxis::seconds);
    plot_runs(options->runs, out, axes);
    std::printf("%s\n", out.c_str());
  });
}

}  // namespace tern
