// tern scaling fit TABLE: a scaling law fitted to the losses of several models.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdio>

#include "apps/commands/command_line.h"
#include "apps/scaling/picture.h"
#include "apps/scaling/report.h"
#include "apps/scaling/runs_table.h"
#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

struct FitOptions {
  fs::path table{}, json{}, picture{};
  std::string law = "chinchilla";
  std::vector<std::string> flop{};
  std::optional<std::uint64_t> hold_out{};
  BootstrapOptions bootstrap{};
};

LawKind law_of(const std::string& name) {
  for (const LawKind kind : {LawKind::linear, LawKind::power})
    if (name == name_of(kind)) return kind;
  return LawKind::chinchilla;
}

double flop_of(const std::string& text) {
  double flop = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, flop);
  require(at == end && error == std::errc{} && kLeastCrossing <= flop && flop <= kMostCrossing,
          Fault::usage, "scaling fit: --flop: expected a number from ", kLeastCrossing, " to ",
          kMostCrossing, ", got ", text);
  return flop;
}

void fit(const FitOptions& o) {
  ScalingOptions options{.law = law_of(o.law), .bootstrap = o.bootstrap, .hold_out = o.hold_out};
  for (const std::string& text : o.flop) options.flop.push_back(flop_of(text));
  for (const fs::path& out : {o.json, o.picture})
    if (!out.empty()) require_replaceable(out);
  const ScalingAnalysis analysis = analyse(read_points(o.table), options, o.table.string());
  fmt::print("{}", scaling_report(analysis));
  std::fflush(stdout);
  if (!o.json.empty()) write_file_atomically(o.json, scaling_json(analysis).dump(2) + '\n');
  if (!o.picture.empty()) draw_scaling(analysis, o.picture);
}

void add_fit(CLI::App& scaling) {
  CLI::App& command = *scaling.add_subcommand(
      "fit", "Fit a scaling law to a table of losses: values, intervals, predictions, crossings.");
  const auto o = std::make_shared<FitOptions>();
  command
      .add_option("TABLE", o->table,
                  "directory of runs, or CSV file with the columns parameters, tokens, loss and, "
                  "optionally, family (docs/scaling.md)")
      ->transform(path_argument())
      ->required();
  command.add_option("--law", o->law, "the form of the law; linear and power take few points")
      ->check(CLI::IsMember({"chinchilla", "linear", "power"}))
      ->capture_default_str();
  command
      .add_option("--samples", o->bootstrap.samples, "fits to changed points, for the intervals")
      ->check(CLI::Range(100, 1000000))
      ->capture_default_str();
  command
      .add_option("--error", o->bootstrap.error,
                  "a loss is known to +-X nats: samples change the losses by up to X, uniformly, "
                  "instead of drawing points again")
      ->type_name("FLOAT")
      ->check(CLI::Range(1e-12, 100.0));
  command
      .add_option("--hold-out", o->hold_out,
                  "points of each family, those with the most FLOP, to predict from the rest "
                  "(default: a tenth)")
      ->type_name("UINT");
  add_list(
      command, "--flop", o->flop,
      "predict the loss, and the best parameters and tokens, for so many FLOP; may be repeated")
      ->type_name("FLOAT");
  command.add_option("--seed", o->bootstrap.seed, "of the samples")->capture_default_str();
  command.add_option("--json", o->json, "write everything to this file")
      ->transform(path_argument());
  command.add_option("--picture", o->picture, "draw loss over FLOP as a PNG")
      ->transform(path_argument());
  command.callback([o] { fit(*o); });
}

}  // namespace

void add_scaling(CLI::App& tern) {
  CLI::App& scaling = *tern.add_subcommand(
      "scaling", "Scaling laws: fit losses over parameters, tokens and FLOP; plan runs.");
  add_fit(scaling);
  add_scaling_plan(scaling);
}

}  // namespace tern
