// What `tern scaling fit` found out, as a table for people and as JSON (docs/scaling.md).
#pragma once

#include <nlohmann/json.hpp>

#include "apps/scaling/analysis.h"

namespace tern {

std::string scaling_report(const ScalingAnalysis& analysis);
nlohmann::json scaling_json(const ScalingAnalysis& analysis);

// "a overtakes b at 1.3e+22 FLOP", "not determinable: ..." or "no crossing: ..."
std::string verdict_of(const CrossingAnalysis& crossing, const ScalingAnalysis& analysis);

const char* name_of(LawKind kind);

}  // namespace tern
