#include "optim/adamw.h"

#include <cmath>
#include <cstring>

namespace tern {
namespace {

// Large enough that a message's start costs little, small enough that the first leaves early: some
// layers of a small model, one of a large one.
constexpr std::size_t kBucketBytes = std::size_t(32) << 20;

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
  if (ranks) reduction_ = std::make_unique<GradientReduction>(pack, *ranks, kBucketBytes);
  Backend& on = pack.values().backend();
  const DType real = pack.values().dtype(), stored = options.moments.value_or(real);
  check(stored == real || (stored == DType::bf16 && real == DType::f32),
        "[AdamW] expected moments in ", real, ", or in bf16 with f32 parameters, got ", stored);
  m_ = Tensor(on, pack.values().shape(), stored);
  v_ = Tensor(on, pack.values().shape(), stored);
  scalars_ = Tensor(on, {StepScalars::kCount}, DType::f64);
  for (const Tensor& t : {m_, v_, scalars_}) on.fill(t, 0);
  check(pack.shard().alone() || ranks, "[AdamW] parameters have ", pack.shard().size,
        " owners, but there are no other ranks");
  if (!pack.shard().alone()) replicas_.emplace(pack, *ranks);
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

void AdamWOptimizer::update(const Segment& s) {
  const Index count = s.all.count;
  scalars_.backend().run(AdamW{.w = pack_.values().slice(s.at, count),
                               .m = m_.slice(s.at, count),
                               .v = v_.slice(s.at, count),
                               .magnitudes = s.ternary ? pack_.ternary()->magnitudes() : Tensor{},
                               .g = pack_.gradients().slice(s.all.first, count),
                               .scalars = scalars_,
                               .beta1 = options_.beta1,
                               .beta2 = options_.beta2,
                               .eps = options_.eps,
                               .weight_decay = s.weight_decay,
                               .seed = options_.seed,
                               .first = s.all.first});
}

void AdamWOptimizer::ready(const Parameter& p) {
  if (reduction_) reduction_->ready(p);
}

void AdamWOptimizer::add_ranks() {
  if (!ranks_) return;
  Pending loss = ranks_->all_reduce(scalars_.slice(StepScalars::loss, 1), Op::sum);
  reduction_->finish();
  loss.wait();
}

// Each rank of what it owns, rank 0 also of what all hold; then over the ranks.
void AdamWOptimizer::sum_squares() {
  Backend& on = scalars_.backend();
  const auto sum = [&](const Tensor& scalars, Range r) {
    on.run(SquaredNorm{.scalars = scalars, .g = pack_.gradients().slice(r.first, r.count)});
  };
  const Shard shard = pack_.shard();
  if (shard.alone()) return sum(scalars_, {0, pack_.gradients().elements()});
  const auto rank = std::size_t(shard.rank);
  const Tensor norm = scalars_.slice(StepScalars::norm_squared, 1);
  const Tensor part(on, {StepScalars::kCount}, DType::f64);
  std::vector<Range> own = {pack_.matrices_of_ranks()[rank], pack_.rows_of_ranks()[rank]};
  if (rank == 0) own.push_back(pack_.shared());
  on.fill(norm, 0);
  for (const Range r : own) {
    if (r.count == 0) continue;
    sum(part, r);
    const Tensor squares = part.slice(StepScalars::norm_squared, 1);
    const Grad to{norm, true};
    on.run(Accumulate{.to = to, .x = squares});
  }
  ranks_->all_reduce(norm, Op::sum).wait();
}

PendingUpdate AdamWOptimizer::step(bool count) {
  Backend& on = scalars_.backend();
  pack_.finish_gradients();
  add_ranks();
  sum_squares();
  on.run(DecideUpdate{.scalars = scalars_});
  for (const Segment& s : pack_.segments()) update(s);
  pack_.make_working_copies();
  if (pack_.ternary()) pack_.ternary()->quantize(count);
  if (replicas_) replicas_->all_gather(count);
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
