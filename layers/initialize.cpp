// Where training starts: each tensor a function of (seed, its name) alone.
#include <cmath>

#include "core/rng.h"
#include "layers/model.h"

namespace tern {
namespace {

bool ends_with(const std::string& name, std::string_view end) {
  return name.ends_with(end);
}
bool in_mixer(const std::string& name) {
  return name.find(".attn.") != std::string::npos;
}

// element i of a parameter
struct Filler {
  enum { constant, normal, uniform } kind = constant;
  double amount = 0;  // value, standard deviation, or bound
};

// The reference code: N(0, 0.02); mixer matrices Xavier-uniform of gain 2^-2.5, down_proj over
// sqrt(2L); norm weights 1; lower_bounds 0. Init::normal: every matrix N(0, 0.02).   (MODEL.md)
Filler filler_of(const Parameter& p, const ModelConfig& config) {
  if (p.name == "model.lower_bounds") return {Filler::constant, 0};
  if (p.shape.rank() == 1) return {Filler::constant, 1};
  if (config.init == Init::normal) return {Filler::normal, 0.02};
  if (in_mixer(p.name)) {
    const double fans = double(p.shape[0] + p.shape[1]);
    return {Filler::uniform, std::pow(2.0, -2.5) * std::sqrt(6.0 / fans)};
  }
  if (ends_with(p.name, "down_proj.weight"))
    return {Filler::normal, 0.02 / std::sqrt(2.0 * double(config.layers))};
  return {Filler::normal, 0.02};
}

template <class R>
void fill(std::vector<R>& values, const Filler& filler, const Rng& rng) {
  const Index n = Index(values.size());
#pragma omp parallel for
  for (Index i = 0; i < n; ++i) {
    if (filler.kind == Filler::constant) values[i] = R(filler.amount);
    if (filler.kind == Filler::normal) values[i] = R(filler.amount * rng.normal(i));
    if (filler.kind == Filler::uniform) values[i] = R(filler.amount * (2 * rng.uniform(i) - 1));
  }
}

template <class R>
void set(const Parameter& p, const Filler& filler, const Rng& rng) {
  std::vector<R> values(p.shape.elements());
  fill(values, filler, rng);
  p.value.backend().upload(p.value, values.data());
}

}  // namespace

void Model::initialize(std::uint64_t seed) {
  for (Parameter* p : pack_->parameters()) {
    const Filler filler = filler_of(*p, config_);
    const Rng rng(seed, stream_of(p->name));
    if (options_.dtype == DType::f64)
      set<double>(*p, filler, rng);
    else
      set<float>(*p, filler, rng);
  }
  quantize();
}

}  // namespace tern
