// What the ranks of a run exchange in a step and how long that takes on GPUs, by the model of
// docs/scaling_out.md. Nothing is measured here.
#pragma once

#include "runtime/run_config.h"

namespace tern {

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
