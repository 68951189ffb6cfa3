// Adds the gradients of all ranks up while backward still computes earlier ones: whatever lies
// together in the pack and is complete goes as one bucket.
#pragma once

#include <map>
#include <vector>

#include "core/communicator.h"
#include "core/parameter_pack.h"

namespace tern {

class GradientReduction {
 public:
  // bucket_bytes: a bucket is at least so large, but for the last ones. Every rank must complete
  // its gradients in the same order.
  GradientReduction(ParameterPack& pack, Communicator& ranks, std::size_t bucket_bytes);

  // The gradient of p is complete on this rank and will not be written again in this step.
  void ready(const Parameter& p);
  // All gradients are complete: the pack's are the sums over all ranks for what the device is given
  // from now on. Begins the next step.
  void finish();

 private:
  void reduce(Index begin, Index end);  // elements of the pack

  ParameterPack& pack_;
  Communicator& ranks_;
  const std::size_t bucket_bytes_;
  std::map<Index, Index> complete_{};  // [begin, end) of elements that wait for a bucket
  std::map<Index, Index> reduced_{};   // those on their way, whole buckets
  std::vector<Pending> pending_{};
};

}  // namespace tern
