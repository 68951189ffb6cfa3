#include "optim/adamw.h"

#include <array>
#include <cmath>
#include <cstring>

namespace tern {
namespace {

using Scalars = std::array<double, StepScalars::kCount>;

Scalars read(const Tensor& scalars) {
  Scalars s;
  scalars.backend().download(s.data(), scalars);
  return s;
}

}  // namespace

AdamWOptimizer::AdamWOptimizer(ParameterPack& pack, const AdamWOptions& options,
                               Communicator* ranks)
    : pack_(pack), options_(options), ranks_(ranks) {
  Backend& on = pack.values().backend();
  const DType real = pack.values().dtype(), stored = options.moments.value_or(real);
  check(stored == real || (stored == DType::bf16 && real == DType::f32),
        "[AdamW] expected moments in ", real, ", or in bf16 beside f32, got ", stored);
  m_ = Tensor(on, pack.values().shape(), stored);
  v_ = Tensor(on, pack.values().shape(), stored);
  scalars_ = Tensor(on, {StepScalars::kCount}, DType::f64);
  for (const Tensor& t : {m_, v_, scalars_}) on.fill(t, 0);
}

void AdamWOptimizer::begin_step(double learning_rate, double weight_decay) {
  pack_.begin_step();
  has_loss_ = false;
  const std::array<double, 4> in{learning_rate, weight_decay, options_.clip, 0};  // lr .. loss
  scalars_.backend().upload(scalars_.slice(0, 4), in.data());
}

void AdamWOptimizer::add_loss(const Tensor& loss) {
  scalars_.backend().run(
      Accumulate{.to = {scalars_.slice(StepScalars::loss, 1), has_loss_}, .x = loss});
  has_loss_ = true;
}

void AdamWOptimizer::update(Index first, Index count, bool decays) {
  if (count == 0) return;
  const bool ternary = pack_.ternary() && first < pack_.decayed();
  scalars_.backend().run(AdamW{.w = pack_.values().slice(first, count),
                               .m = m_.slice(first, count),
                               .v = v_.slice(first, count),
                               .magnitudes = ternary ? pack_.ternary()->magnitudes() : Tensor{},
                               .g = pack_.gradients().slice(first, count),
                               .scalars = scalars_,
                               .beta1 = options_.beta1,
                               .beta2 = options_.beta2,
                               .eps = options_.eps,
                               .decays = decays,
                               .seed = options_.seed,
                               .first = first});
}

void AdamWOptimizer::add_ranks() {
  if (!ranks_) return;
  Pending gradients = ranks_->all_reduce(pack_.gradients(), Op::sum);
  Pending loss = ranks_->all_reduce(scalars_.slice(StepScalars::loss, 1), Op::sum);
  gradients.wait();
  loss.wait();
}

PendingUpdate AdamWOptimizer::step(bool count) {
  Backend& on = scalars_.backend();
  pack_.finish_gradients();
  add_ranks();
  on.run(SquaredNorm{.scalars = scalars_, .g = pack_.gradients()});
  on.run(DecideUpdate{.scalars = scalars_});
  update(0, pack_.decayed(), true);
  update(pack_.decayed(), pack_.values().elements() - pack_.decayed(), false);
  if (pack_.ternary()) pack_.ternary()->quantize(count);
  return PendingUpdate(on.snapshot(scalars_));
}

UpdateReport PendingUpdate::report() const {
  Scalars s;
  std::memcpy(s.data(), scalars_->bytes().data(), sizeof s);
  return {.loss = s[StepScalars::loss],
          .grad_norm = std::sqrt(s[StepScalars::norm_squared]),
          .applied = s[StepScalars::applied] != 0};
}

double AdamWOptimizer::adam_steps() const {
  return read(scalars_)[StepScalars::adam_steps];
}

void AdamWOptimizer::set_adam_steps(double steps) {
  scalars_.backend().upload(scalars_.slice(StepScalars::adam_steps, 1), &steps);
}

}  // namespace tern
