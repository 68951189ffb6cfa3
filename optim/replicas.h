// What ranks that own parts of a model give each other after an update: only what forward and
// backward need. Ternary codes at two bits and a scale for each matrix, and the rows of the
// embedding as the table holds them. Latent weights and moments never travel.
#pragma once

#include "core/backend.h"
#include "core/communicator.h"
#include "core/parameter_pack.h"

namespace tern {

class Replicas {
 public:
  // pack: with owners
  Replicas(ParameterPack& pack, Communicator& ranks);

  // Every rank's copies become what their owners hold now; stats: those of the matrices, too. Takes
  // a quarter of a byte for each code while it runs.
  void gather(bool stats);

 private:
  void copy_own_rows();
  std::vector<Owned> parts(const Tensor& packed, bool stats) const;

  ParameterPack& pack_;
  Communicator& ranks_;
  Held rows_{};       // of the row-sharded parameter; none: rows is 0
  Tensor numbers_{};  // (rows) i32: 0, 1, 2, ...
};

}  // namespace tern
