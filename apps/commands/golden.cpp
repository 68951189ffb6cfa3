#include "apps/golden/golden.h"

#include <fmt/format.h>

#include "apps/commands/command_line.h"
#include "core/check.h"

namespace tern {
namespace {

struct GoldenOptions {
  std::vector<std::string> files;
  std::string dtype = "f64", device = "cpu";
};

bool print(const std::string& file, const GoldenReport& report) {
  fmt::print("{}\n", file);
  for (const GoldenResult& r : report.results)
    fmt::print("  {:<16} worst relative error {:.2e}  tolerance {:.0e}  {}  ({})\n", r.kind,
               r.worst, r.tolerance, r.passed() ? "ok" : "FAILED", r.where);
  if (report.decisions)
    fmt::print("  without replay {} of {} rounding decisions differ from float64\n",
               report.differing_decisions, report.decisions);
  return report.passed();
}

void run_golden(const GoldenOptions& options) {
  const DType dtype = options.dtype == "f64" ? DType::f64 : DType::f32;
  const Device device(options.device);
  require(dtype == DType::f32 || !device.facts().traits.is_gpu(), Fault::usage,
          "--device cuda: expected --dtype f32 with it");
  std::string failed;
  for (const std::string& file : options.files)
    if (!print(file, check_golden(file, dtype, device))) failed += " " + file;
  std::fflush(stdout);
  require(failed.empty(), Fault::internal, "outside the tolerance:", failed);
}

}  // namespace

void add_golden(CLI::App& tern) {
  auto options = std::make_shared<GoldenOptions>();
  CLI::App* command = tern.add_subcommand(
      "golden", "Check this build against golden files: logits, loss, gradients, training.");
  add_list(*command, "FILE", options->files, "golden .safetensors files")
      ->transform(path_argument())
      ->required();
  command->add_option("--dtype", options->dtype, "f64, or f32 with float64's decisions replayed")
      ->check(CLI::IsMember({"f64", "f32"}))
      ->capture_default_str();
  command->add_option("--device", options->device, "cpu, cuda or cuda:N")->capture_default_str();
  command->callback([options] { run_golden(*options); });
}

}  // namespace tern
