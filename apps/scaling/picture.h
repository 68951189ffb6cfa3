// The picture of `tern scaling fit`: loss over the FLOP of training.
#pragma once

#include "apps/scaling/analysis.h"

namespace tern {

// A PNG at `out`, which is replaced as a whole. Errors as in draw_with_gnuplot.
void draw_scaling(const ScalingAnalysis& analysis, const std::filesystem::path& out);

// gnuplot's input
std::string scaling_script(const ScalingAnalysis& analysis);

}  // namespace tern
