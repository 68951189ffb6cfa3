// What a run says about itself before the first step: machine, model, data, memory, disk.
#pragma once

#include <map>
#include <string>

#include "apps/plan/plan.h"
#include "apps/system/environment.h"
#include "apps/train/rank_zero.h"

namespace tern {

std::vector<TableRow> plan_rows(const RunConfig& config, const Plan& plan,
                                const MemoryPlan& memory);
void print_banner(OpenedRun& opened, RankZero& rank_zero);
std::map<std::string, std::string> library_versions();

}  // namespace tern
