// One half of a block: a token mixer carries information along time, a channel mixer works on each
// position alone. Both read the residual stream through the block's norm and leave a branch that is
// added to it. docs/adding_a_mixer.md writes one.
#pragma once

#include "layers/bit_linear.h"

namespace tern {

// The residual stream between two mixers: its value is x + branch, added by the next op that reads
// it.
struct Residual {
  Var x{};       // (N, D)
  Var branch{};  // (N, D) or empty
};

// What a token mixer carries from one call to the next in inference: for MLGRU the last hidden
// state; for attention a cache of keys and values, which it replaces by a larger one when it is
// full. The leading dimension of every tensor is the sequence of the batch.
struct StateSpec {
  Shape shape{};
  DType dtype = DType::f32;
  bool cache =
      false;  // dimension 1 is the position, and those from LayerState::steps on are unused
};
struct StateRequest {
  Index batch = 1;
  Index positions = 0;             // that a cache is to have room for at first
  DType real = DType::f32;         // of parameters, in which recurrences run
  DType activations = DType::f32;  // of what products write
};
struct LayerState {
  std::vector<Tensor> tensors{};  // as Mixer::state() lists them, zeros at the start
  Index steps = 0;                // positions seen so far
};

struct MixerInput {
  Index batch = 0, steps = 0;   // B, T; N = B * T
  Var bound{};                  // (D) lower bound of the forget gate, or empty
  LayerState* state = nullptr;  // where to start and, afterwards, where it stopped; null: from zero
  double eps = 1e-6;
  bool quantized = true;
  DType activations = DType::f32;  // of what products write and branches carry
  Recompute recompute{};           // norms, or norms, quantisers and the scan run again in backward
  BackwardProducts backward{};     // of the blocks' ternary products

  bool scan_again() const { return recompute == Recompute::cheap; }
  // of rows behind a norm of what is kept, and of the others
  RowsAgain norms_again() const {
    if (recompute != Recompute::norms && recompute != Recompute::cheap) return RowsAgain::no;
    return rounds_dw(backward) ? RowsAgain::codes : RowsAgain::quotients;
  }
  RowsAgain rows_again() const {
    return recompute == Recompute::cheap ? norms_again() : RowsAgain::no;
  }
};

// What projections read of the stream: in.x + in.branch through the block's norm, then for each of
// them its own norm and the quantiser. The row of one without a norm of its own is the block's.
NormQuantized normalized_inputs(const Pass& pass, Residual in, Parameter& norm,
                                const std::vector<BitLinear*>& projections, const MixerInput& with);

class Mixer {
 public:
  virtual ~Mixer() = default;

  // norm: the block's, in front of this mixer. A value that is read once is moved into its reader,
  // so that its memory is free as early as possible. The returned x is the sum in.x + in.branch.
  virtual Residual operator()(const Pass& pass, Residual in, Parameter& norm,
                              const MixerInput& with) = 0;

  // The state of `batch` sequences; empty: every position is computed alone.
  virtual std::vector<StateSpec> state(const StateRequest& request) const = 0;

  // Calls f for every parameter, each with its name behind the prefix.
  virtual void members(const std::string& prefix, const ParameterVisitor& f) = 0;
};

}  // namespace tern
