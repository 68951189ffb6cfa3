// A plan as an aligned table for people.
#pragma once

#include <string>

#include "apps/config/plan.h"

namespace tern {

std::string plan_text(const RunConfig& config, const Plan& plan);

// 12,345,678
std::string grouped(std::int64_t number);

// a number with three digits and a prefix: "2.05 G"
std::string with_prefix(double number);

}  // namespace tern
