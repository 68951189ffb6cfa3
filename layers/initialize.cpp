// Where training starts: each tensor a function of (seed, its name) alone.
#include <algorithm>
#include <cmath>
#include <span>

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
// sqrt(2L); norm weights 1; lower_bounds 0. Init::normal: every matrix N(0, 0.02).
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

// Elements [first, first + values.size()) of a parameter.
template <class R>
void fill(std::span<R> values, Index first, const Filler& filler, const Rng& rng) {
  constexpr Index kPiece = 1024;
  const Index n = Index(values.size());
#pragma omp parallel for
  for (Index begin = 0; begin < n; begin += kPiece) {
    double numbers[kPiece];
    const std::span piece(numbers, std::size_t(std::min(kPiece, n - begin)));
    const auto at = std::uint64_t(first + begin);
    if (filler.kind == Filler::constant) std::fill(piece.begin(), piece.end(), 1);
    if (filler.kind == Filler::normal) rng.normals(at, piece);
    if (filler.kind == Filler::uniform) {
      rng.uniforms(at, piece);
      for (double& x : piece) x = 2 * x - 1;
    }
    for (std::size_t i = 0; i < piece.size(); ++i)
      values[std::size_t(begin) + i] = R(filler.amount * piece[i]);
  }
}

// In pieces through one buffer: fresh memory for every matrix would cost more than the numbers.
template <class R>
void set(const Tensor& value, Index skipped, const Filler& filler, const Rng& rng,
         std::vector<R>& buffer) {
  const Tensor all = value.reshape({value.elements()});
  for (Index first = 0; first < all.elements(); first += Index(buffer.size())) {
    const Index count = std::min(Index(buffer.size()), all.elements() - first);
    fill(std::span(buffer).first(std::size_t(count)), skipped + first, filler, rng);
    value.backend().upload(all.slice(first, count), buffer.data());
  }
}

template <class R>
void set_all(const ParameterPack& pack, const ModelConfig& config, std::uint64_t seed) {
  std::vector<R> buffer(std::size_t(1) << 22);
  for (const Held& h : pack.held()) {
    const Parameter& p = *h.parameter;
    set<R>(pack.view(pack.values(), h), h.first_row * h.row_elements(), filler_of(p, config),
           Rng(seed, stream_of(p.name)), buffer);
  }
}

}  // namespace

void Model::initialize(std::uint64_t seed) {
  if (options_.dtype == DType::f64)
    set_all<double>(*pack_, config_, seed);
  else
    set_all<float>(*pack_, config_, seed);
  quantize();
}

}  // namespace tern
