// A pack of matrices of awkward sizes with ternary copies, and an optimizer: the update by itself,
// on any backend.
#pragma once

#include "core/backend.h"
#include "core/rng.h"
#include "optim/adamw.h"

namespace tern {

class UpdateCase {
 public:
  using Values = std::vector<double>;

  // weights are multiples of 2^-10 below 2: their sums are exact in any order
  UpdateCase(Backend& on, const AdamWOptions& options, DType dtype = DType::f32,
             std::optional<DType> gradients = {})
      : on_(on) {
    std::vector<Parameter*> all;
    for (const Shape& shape : std::vector<Shape>{{1, 1}, {64, 64}, {17, 241}, {5, 7}, {130, 129}})
      parameters_.push_back({.name = "w",
                             .shape = shape,
                             .weight_decay = true,
                             .ternary = true,
                             .sharding = Sharding::whole,
                             .alignment = kSumPiece});
    parameters_.push_back({.name = "norm", .shape = {77}});
    for (Parameter& p : parameters_) all.push_back(&p);
    pack_ = std::make_unique<ParameterPack>(on, all,
                                            PackOptions{.dtype = dtype, .gradients = gradients});
    adam_ = std::make_unique<AdamWOptimizer>(*pack_, options);
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      Values w(std::size_t(parameters_[i].shape.elements()), 0);
      const Rng rng(7, i);
      for (std::size_t k = 0; k < w.size(); ++k) w[k] = double(rng.bits(k) % 4096) / 1024 - 2;
      upload_real(parameters_[i].value, w);
    }
    pack_->ternary()->sum_magnitudes();
    pack_->ternary()->quantize();
  }

  // gradients: multiples of 2^-7 below 1, another for each step
  UpdateReport step(std::uint64_t seed, double loss = 1, bool count = false) {
    adam_->begin_step(0.01, 0.1);
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      Values g(std::size_t(parameters_[i].shape.elements()), 0);
      const Rng rng(seed, i);
      for (std::size_t k = 0; k < g.size(); ++k) g[k] = double(rng.bits(k) % 256) / 128 - 1;
      parameters_[i].grad.claim(0, Index(g.size()));
      upload_real(parameters_[i].grad.tensor, g);
    }
    const Tensor mean(on_, {1}, DType::f64);
    upload_real(mean, {loss});
    adam_->add_loss(mean);
    return adam_->step(count).report();
  }

  ParameterPack& pack() { return *pack_; }
  AdamWOptimizer& adam() { return *adam_; }
  TernaryCopies& ternary() { return *pack_->ternary(); }
  std::vector<Parameter>& parameters() { return parameters_; }

  // bytes of a tensor
  std::vector<std::byte> bytes(const Tensor& t) {
    std::vector<std::byte> out(t.bytes());
    on_.download(out.data(), t);
    return out;
  }
  // of everything that an update changes
  std::vector<std::byte> state() {
    std::vector<std::byte> all;
    for (const Tensor& t : {pack_->values(), adam_->first_moment(), adam_->second_moment(),
                            ternary().codes(), ternary().scales(), ternary().magnitudes()}) {
      const std::vector<std::byte> one = bytes(t);
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  }

 private:
  Backend& on_;
  std::vector<Parameter> parameters_;
  std::unique_ptr<ParameterPack> pack_;
  std::unique_ptr<AdamWOptimizer> adam_;
};

}  // namespace tern
