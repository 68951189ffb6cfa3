// A training run for an amount of FLOP or of time: size, tokens, batch and rate.
#pragma once

#include <filesystem>
#include <functional>

#include "apps/scaling/law.h"
#include "runtime/run_config.h"

namespace tern {

// The fit to the points of tests/golden/chinchilla_points.csv: the law that plans go by where there
// is no own one.
ScalingLaw published_law();

// The law of a family in a file that `tern scaling fit --json` wrote; family "": the file has one.
// Fault::input: no such file or family, or a law that does not tell parameters from tokens.
ScalingLaw saved_law(const std::filesystem::path& json, const std::string& family);

// Sets width and layers of `model` so that the weights that its products multiply by are near
// gemm_parameters, and the width about 64 times the layers; widths are multiples of 64.
// Fault::usage if none of at most 65536 is near, within a quarter.
void set_shape(ModelConfig& model, double gemm_parameters);

struct RunPlan {
  RunConfig config{};
  ComputeOptimum wanted{};  // by the law
  double flop = 0;          // of this run's products and attention
  double predicted_loss = 0;
};

// config: model.type and quantize, vocabulary and context are taken from it; shape, length, batch,
// rate and intervals are set.
// Batch: 0.292 C^0.327 tokens, and for dense models the rate 0.312 C^-0.125 (DeepSeek LLM, arXiv
// 2401.02954, section 3.1); for ternary ones a power law through the paper's rates, 4e-3 at 370M
// and 1.5e-3 at 2.7B (arXiv 2406.02528).
RunPlan plan_run(const ScalingLaw& law, double flop, const RunConfig& config);

// FLOP that all steps of `seconds` make, by a fixed point: speed(config) is the FLOP/s of such a
// run.
RunPlan plan_time(const ScalingLaw& law, double seconds, const RunConfig& config,
                  const std::function<double(const RunConfig&)>& speed);

// TOML for `tern train`, short: only what is set.
std::string run_plan_toml(const RunPlan& plan, const std::string& comment);

}  // namespace tern
