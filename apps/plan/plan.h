// Sizes of a run that follow from its configuration without a backend: parameters, FLOP, steps,
// tokens and bytes. Pure functions.
#pragma once

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
  std::int64_t gemm_flop_per_token = 0;       // forward and backward
  std::int64_t attention_flop_per_token = 0;  // 0: no attention
  double flop_total = 0;

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

// the plan as an aligned table
std::string plan_text(const RunConfig& config, const Plan& plan);

// 12,345,678
std::string grouped(std::int64_t number);

// a number with three digits and a prefix: "2.05 G"
std::string with_prefix(double number);

// --- data that the ranks of a run exchange in a step, and its time on GPUs, by the model of
// docs/scaling_out.md; nothing is measured here ---

// Bytes per second: of a ring within a node, of a GPU's own network card. The defaults are those of
// eight H100s on NVLink, as measured, and of 400 Gb/s with 80 % reached.
struct NetworkRates {
  int node = 8;  // GPUs
  double inside = 361e9, between = 40e9;
};

// Seconds to add `bytes` up over n ranks, each rank ending with its share: rings in the nodes, then
// between those of the nodes that hold the same share. A gather of shares takes as long.
double reduce_seconds(double bytes, int n, const NetworkRates& rates = {});

struct ExchangePlan {
  double gradient_bytes = 0;   // that every rank contributes
  double copy_bytes = 0;       // that owners send after the update; 0: every rank makes its own
  double reduce = 0;           // seconds to add gradients up, on all ranks or at their owners
  double gather = 0;           // seconds until every rank has the copies
  double compute = 0;          // seconds of a step on one GPU, at a typical rate
  double nothing_hidden = 0;   // share of perfect scaling when all of it is waited for, and when
  double backward_hidden = 0;  // gradients are added up beside backward as far as that lasts
};

// ranks >= 2; every rank takes an equal part of batch.tokens
ExchangePlan plan_exchange(const RunConfig& config, int ranks, const NetworkRates& rates = {});

}  // namespace tern
