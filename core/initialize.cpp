// Where training starts: each tensor a function of (seed, its name) alone.
#include <algorithm>

#include "core/backend.h"
#include "core/parameter_pack.h"
#include "core/rng.h"

namespace tern {
namespace {

// Elements [first, first + values.size()) of a parameter.
template <class R>
void fill(std::span<R> values, Index first, const Initial& initial, const Rng& rng) {
  constexpr Index kBlock = 1024;
  const Index n = Index(values.size());
#pragma omp parallel for
  for (Index begin = 0; begin < n; begin += kBlock) {
    double numbers[kBlock];
    const std::span block(numbers, std::size_t(std::min(kBlock, n - begin)));
    const auto at = std::uint64_t(first + begin);
    if (initial.kind == Initial::Kind::constant) std::fill(block.begin(), block.end(), 1);
    if (initial.kind == Initial::Kind::normal) rng.normals(at, block);
    if (initial.kind == Initial::Kind::uniform) {
      rng.uniforms(at, block);
      for (double& x : block) x = 2 * x - 1;
    }
    for (std::size_t i = 0; i < block.size(); ++i)
      values[std::size_t(begin) + i] = R(initial.amount * block[i]);
  }
}

// In blocks through one buffer: fresh memory for every matrix would cost more than the numbers.
template <class R>
void set(const Tensor& value, Index skipped, const Initial& initial, const Rng& rng,
         std::vector<R>& buffer) {
  const Tensor all = value.reshape({value.elements()});
  for (Index first = 0; first < all.elements(); first += Index(buffer.size())) {
    const Index count = std::min(Index(buffer.size()), all.elements() - first);
    fill(std::span(buffer).first(std::size_t(count)), skipped + first, initial, rng);
    value.backend().upload(all.slice(first, count), buffer.data());
  }
}

template <class R>
void set_all(const ParameterPack& pack, std::uint64_t seed) {
  std::vector<R> buffer(std::size_t(1) << 22);
  for (const LocalRows& local : pack.local_rows()) {
    const Parameter& p = *local.parameter;
    set<R>(pack.view(pack.values(), local), local.first_row * local.row_elements(), p.initial,
           Rng(seed, stream_of(p.name)), buffer);
  }
}

}  // namespace

void ParameterPack::initialize(std::uint64_t seed) {
  if (values_.dtype() == DType::f64)
    set_all<double>(*this, seed);
  else
    set_all<float>(*this, seed);
  quantize();
}

}  // namespace tern
