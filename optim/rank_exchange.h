// What ranks exchange in a step: gradients before the update, copies of the weights after it.
#pragma once

#include <set>

#include "core/backend.h"
#include "core/communicator.h"
#include "core/parameter_pack.h"

namespace tern {

// Adds the gradients of all ranks up while backward still computes earlier ones, in buckets:
// without owners whatever lies together in the pack and is complete; with owners all that is
// complete, each part to its owner in one call, so that every rank receives at once.
class GradientReduction {
 public:
  // bucket_bytes: a bucket is at least so large, but for the last ones. Every rank must complete
  // its gradients in the same order.
  GradientReduction(ParameterPack& pack, Communicator& ranks, std::size_t bucket_bytes);

  // The gradient of p is complete on this rank and will not be written again in this step.
  void ready(const Parameter& p);
  // All gradients are complete: for what the device is given from now on, the pack's are the sums
  // over all ranks; with owners only those of what this rank holds. Begins the next step.
  void finish();

 private:
  using Ranges = std::map<Index, Index>;  // [begin, end) of elements of the pack
  void send(const Ranges& ranges);
  void send_to_owners(const Ranges& ranges);
  Tensor part(Index begin, Index end) const { return pack_.gradients().slice(begin, end - begin); }

  ParameterPack& pack_;
  Communicator& ranks_;
  const Index bucket_;       // elements
  std::set<Index> ready_{};  // where parameters begin that are
  Ranges complete_{};        // what waits for a bucket
  Ranges sent_{};            // what is on its way
  std::vector<Pending> pending_{};
};

// Exchange between ranks that own parts of a model, after an update: only the data that forward and
// backward need. Ternary codes at two bits and a scale for each matrix, and the rows of the
// embedding in the table's dtype. Latent weights and moments stay at their owners.
class Replicas {
 public:
  // pack: with owners
  Replicas(ParameterPack& pack, Communicator& ranks);

  // Copies the owners' current data to every rank; stats: the matrices' stats too. Takes a quarter
  // of a byte for each code while it runs.
  void all_gather(bool stats);

 private:
  void copy_own_rows();
  std::vector<Owned> parts(const Tensor& packed, bool stats) const;

  ParameterPack& pack_;
  Communicator& ranks_;
  LocalRows rows_{};  // of the row-sharded parameter; none: rows is 0
  Tensor numbers_{};  // (rows) i32: 0, 1, 2, ...
};

}  // namespace tern
