// Loss curves as a PNG, drawn by gnuplot. For one run: training loss, raw and smoothed, and
// validation loss over tokens. For several: one colour each.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "apps/run/loss_curve.h"

namespace tern {

struct NamedCurve {
  std::string name{};
  LossCurve curve{};
};

// Draws the runs (directories or metrics files) into out, which is replaced as a whole.
// Fault::input: no metrics, or no losses in any; Fault::usage: gnuplot is missing; Fault::disk.
void plot_runs(const std::vector<std::filesystem::path>& runs, const std::filesystem::path& out);

// what gnuplot is told; it writes the PNG to its standard output
std::string plot_script(std::span<const NamedCurve> curves);

}  // namespace tern
