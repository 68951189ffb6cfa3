// AdamW over a flat parameter pack in three passes on the device: global norm; the update, which
// sums |w| of ternary matrices; their ternary copies. A step whose loss or gradient norm is not
// finite changes nothing.                                          (Loshchilov & Hutter 2019)
#pragma once

#include "core/backend.h"
#include "core/communicator.h"
#include "core/parameter_pack.h"
#include "optim/rank_exchange.h"

namespace tern {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double clip = 1.0;               // largest global gradient norm, 0: no clipping
  std::optional<DType> moments{};  // what both are stored in: as parameters, or bf16 beside f32
  std::uint64_t seed = 0;          // of the rounding of bf16 moments
};

// What the host learns from a finished step.
struct UpdateReport {
  double loss = 0;
  double grad_norm = 0;  // before clipping
  bool applied = false;  // false: loss or norm was not finite, nothing changed
};

// An update on its way through the device.
class PendingUpdate {
 public:
  explicit PendingUpdate(std::unique_ptr<Snapshot> scalars) : scalars_(std::move(scalars)) {}
  UpdateReport report() const;  // waits for it

 private:
  std::unique_ptr<Snapshot> scalars_;
};

class AdamWOptimizer {
 public:
  // ranks: those that each bring their share of gradients and loss, or null for this process alone.
  // All of them make the same update of the same sums; or, if the pack has owners, each that of
  // what it holds, and then they give each other copies.
  AdamWOptimizer(ParameterPack& pack, const AdamWOptions& options, Communicator* ranks = nullptr);

  // Before the first micro-batch: forgets gradients and loss.
  void begin_step(double learning_rate, double weight_decay);
  void add_loss(const Tensor& loss);  // (1) f64, one micro-batch's share of the mean loss
  // The last micro-batch has completed the gradient of p: other ranks may have this one's share.
  void ready(const Parameter& p);
  bool has_ranks() const { return bool(reduction_); }
  // After the last micro-batch. Makes the pack's ternary copies, too; count: with their stats.
  PendingUpdate step(bool count = false);

  // Call after a change of the values that was no update, and after ParameterPack::quantize: makes
  // the same copies on every rank. Does nothing where parameters have no owners.
  void all_gather_copies() {
    if (replicas_) replicas_->all_gather(false);
  }

  const Tensor& first_moment() const { return m_; }   // like pack.values()
  const Tensor& second_moment() const { return v_; }  // same layout
  double adam_steps() const;                          // updates taken so far
  void set_adam_steps(double steps);

 private:
  void add_ranks();
  void sum_squares();
  void update(const Segment& segment);
  ParameterPack& pack_;
  AdamWOptions options_;
  Communicator* ranks_;
  std::optional<Replicas> replicas_{};
  std::unique_ptr<GradientReduction> reduction_;  // null for this process alone
  Tensor m_, v_, scalars_;
  bool has_loss_ = false;
};

}  // namespace tern
