// What a configuration amounts to, as far as it can be computed without a backend: parameters,
// FLOP, steps, tokens and bytes. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/run_config.h"

namespace tern {

struct SourcePlan {
  std::string path;
  std::int64_t tokens_per_epoch = 0;
  double share = 0;   // of the run's tokens
  double epochs = 0;  // how often the run sees each of its tokens; 0 when it has none
};

struct Plan {
  ParameterCount parameters;
  std::int64_t gemm_flop_per_token = 0;  // forward and backward
  double gemm_flop_total = 0;

  std::int64_t tokens_per_step = 0;
  std::int64_t sequences_per_step = 0;
  std::int64_t steps = 0;
  std::int64_t tokens = 0;
  std::vector<SourcePlan> sources;

  std::int64_t parameter_bytes = 0;
  std::int64_t gradient_bytes = 0;
  std::int64_t moment_bytes = 0;      // both of AdamW
  std::int64_t checkpoint_bytes = 0;  // parameters and moments, without the files' own structure
  std::int64_t checkpoints = 0;       // on disk at most: kept ones and the one being written
  double disk_bytes = 0;  // of all of them; a double: bounds of the keys alone would overflow

  std::int64_t state_bytes() const { return parameter_bytes + gradient_bytes + moment_bytes; }
};

// training tokens of each source, in the order of config.data.sources
Plan make_plan(const RunConfig& config, const std::vector<std::int64_t>& source_tokens);

}  // namespace tern
