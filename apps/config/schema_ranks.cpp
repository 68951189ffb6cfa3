// The keys about several processes that train one model.
#include "apps/config/binding.h"
#include "apps/config/schema.h"

namespace tern {

ConfigSection ranks_section() {
  using S = RanksSection;
  constexpr double kLongest = 86'400;
  return table<S>(
      "ranks", "Several processes training one model (docs/distributed.md).", &RunConfig::ranks,
      {field(&S::start_timeout,
             {.name = "start_timeout",
              .range = between(1, kLongest),
              .unit = "s",
              .doc = "Maximum time that ranks wait for each other at the start."}),
       field(&S::timeout, {.name = "timeout",
                           .range = between(1, kLongest),
                           .unit = "s",
                           .doc = "A rank that is silent, or behind the others, for this time ends "
                                  "the run with exit code 7."}),
       field(&S::grace,
             {.name = "grace",
              .range = between(1, kLongest),
              .unit = "s",
              .doc = "Grace period before a hung process is killed, with exit code 7: after a "
                     "failure, and after a stop signal if its ranks still wait for each other."})});
}

ConfigSection parallel_section() {
  using S = ParallelSection;
  return table<S>(
      "parallel", "Division of the work between several ranks; a single rank ignores it.",
      &RunConfig::parallel,
      {field(&S::zero, {.name = "zero",
                        .range = between(0, 1),
                        .doc = "1: each rank holds and updates the latent weights and moments of "
                               "some matrices only, and the ranks exchange ternary codes. Every "
                               "rank must see the run directory. 0: every rank holds everything."}),
       field(&S::replica_check, {.name = "replica_check",
                                 .range = between(0, 1e9),
                                 .unit = "steps",
                                 .doc = "Interval at which ranks compare hashes of the tensors "
                                        "that all of them hold; 0: never."})});
}

}  // namespace tern
