// Exchange between ranks that own parts of a model, after an update: only the data that forward and
// backward need. Ternary codes at two bits and a scale for each matrix, and the rows of the
// embedding in the table's dtype. Latent weights and moments stay at their owners.
#pragma once

#include "core/backend.h"
#include "core/communicator.h"
#include "core/parameter_pack.h"

namespace tern {

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
