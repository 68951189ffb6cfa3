// The keys about several processes that train one model.
#include "apps/config/binding.h"
#include "apps/config/schema.h"

namespace tern {

ConfigSection ranks_section() {
  using S = RanksSection;
  constexpr double kLongest = 86'400;
  return table<S>(
      "ranks", "Several processes training one model (docs/distributed.md).", &RunConfig::ranks,
      {field(&S::start_timeout, {.name = "start_timeout",
                                 .range = between(1, kLongest),
                                 .unit = "s",
                                 .doc = "How long ranks wait for each other at the start."}),
       field(&S::timeout, {.name = "timeout",
                           .range = between(1, kLongest),
                           .unit = "s",
                           .doc = "A rank that is silent, or behind the others, for so long ends "
                                  "the run with exit code 7."}),
       field(&S::grace,
             {.name = "grace",
              .range = between(1, kLongest),
              .unit = "s",
              .doc = "After a failure, and for ranks that wait in vain after a signal to "
                     "stop: how long until a process is ended by force, with code 7."})});
}

ConfigSection parallel_section() {
  using S = ParallelSection;
  return table<S>(
      "parallel", "How several ranks divide the work; one rank alone ignores it.",
      &RunConfig::parallel,
      {field(&S::zero, {.name = "zero",
                        .range = between(0, 1),
                        .doc = "1: each rank holds and updates the latent weights and moments of "
                               "some matrices only; what all need is sent around as ternary codes. "
                               "Every rank must see the run directory. 0: all hold everything."}),
       field(&S::replica_check,
             {.name = "replica_check",
              .range = between(0, 1e9),
              .unit = "steps",
              .doc = "How often ranks compare hashes of what they hold alike; 0: never."})});
}

}  // namespace tern
