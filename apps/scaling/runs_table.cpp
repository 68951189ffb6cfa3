#include "apps/scaling/runs_table.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace tern {

ScalingTable table_of_runs(const std::vector<RunRow>& rows, const std::string& where) {
  ScalingTable table;
  for (const RunRow& row : rows) {
    if (row.state != RunState::finished || !std::isfinite(row.val_loss) || row.family.empty())
      continue;
    auto family = std::ranges::find(table.families, row.family, &ScalingFamily::name);
    if (family == table.families.end())
      family = table.families.insert(family, {.name = row.family, .points = {}});
    const ScalingPoint point{row.gemm_parameters, double(row.tokens), row.val_loss};
    const auto same = std::ranges::find_if(family->points, [&](const ScalingPoint& p) {
      return p.parameters == point.parameters && p.tokens == point.tokens;
    });
    if (same == family->points.end())
      family->points.push_back(point);
    else
      same->loss = std::min(same->loss, point.loss);
  }
  require(!table.families.empty(), Fault::input, where,
          ": expected finished runs with a validation loss, got none");
  return table;
}

ScalingTable read_points(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error))
    return table_of_runs(run_rows(find_runs({path})), path.string());
  return read_table(path);
}

}  // namespace tern
