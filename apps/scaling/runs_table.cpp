#include "apps/scaling/runs_table.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "core/check.h"

namespace tern {

namespace {

// Runs that differ by their seed at most.
struct Group {
  std::map<std::string, std::string> settings{};
  double sum = 0;
  int count = 0;
};

}  // namespace

ScalingTable table_of_runs(const std::vector<RunRow>& rows, const std::string& where) {
  ScalingTable table;
  std::map<std::tuple<std::string, double, std::int64_t>, std::vector<Group>> points;
  for (const RunRow& row : rows) {
    if (row.state != RunState::finished || !std::isfinite(row.val_loss) || row.family.empty())
      continue;
    std::map<std::string, std::string> settings = row.settings;
    settings.erase("run.seed");
    auto& groups = points[{row.family, row.gemm_parameters, row.tokens}];
    auto group = std::ranges::find(groups, settings, &Group::settings);
    if (group == groups.end()) group = groups.insert(group, {.settings = settings});
    group->sum += row.val_loss;
    ++group->count;
  }
  for (const auto& [point, groups] : points) {
    const auto& [family, parameters, tokens] = point;
    double loss = kUnknown;
    for (const Group& group : groups) loss = std::fmin(loss, group.sum / group.count);
    if (table.families.empty() || table.families.back().name != family)
      table.families.push_back({.name = family, .points = {}});
    table.families.back().points.push_back({parameters, double(tokens), loss});
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
