// Points of a scaling law from runs of tern.
#pragma once

#include "apps/run/run_table.h"
#include "apps/scaling/table.h"

namespace tern {

// A point for each finished run that was validated. N counts the weights that products multiply by,
// so that 6 N D are its FLOP without attention; a family is a model type and its precision. Of
// runs that differ by run.seed alone the mean counts; of several such of one family, N and D, as of
// other rates, the lowest.
// Fault::input if there is none; where: their name in messages.
ScalingTable table_of_runs(const std::vector<RunRow>& rows, const std::string& where);

// of a directory with runs below it, or of a CSV file (read_table)
ScalingTable read_points(const std::filesystem::path& path);

}  // namespace tern
