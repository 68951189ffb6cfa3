// Copies of a model on several ranks: taken over from rank 0, compared, and the end of a run whose
// ranks all know its reason.
#pragma once

#include "apps/train/opened_run.h"
#include "core/parameter_pack.h"
#include "runtime/trainer.h"
#include "runtime/training_state.h"

namespace tern {

// XXH3-128 of the tensors that forward and backward read: copies of matrices, rows of tokens, and
// the tensors that every rank holds. Takes a copy of them in host memory.
std::string replica_hash(const ParameterPack& pack);

// Names the ranks whose hash is not that of most; of equally many, not that of the lowest rank.
// Empty: all agree. hashes: by rank
std::string ranks_that_differ(const std::vector<std::string>& hashes);

// By all ranks, each with the same calls. Weights and moments of rank 0; where ranks hold parts of
// the parameters, the others' ternary copies.
void share_weights(OpenedRun& opened, Trainer& trainer);
TrainingState broadcast_state(ControlPlane& control, const TrainingState& state);

// Ends the run for a reason that all ranks know; rank 0 says it.
[[noreturn]] void end_by_rank_zero(ControlPlane& control, Fault fault, const std::string& why);

}  // namespace tern
