#include "apps/bench/bit_linear.h"

#include <cmath>
#include <functional>

#include "autograd/ops.h"
#include "core/dry/dry_backend.h"
#include "core/host.h"
#include "core/rng.h"

namespace tern {
namespace {

using Form = std::function<Var(const Var& x, const Var& norm, const Var& w)>;

Var fused(const Var& x, const Var& norm, const Var& w) {
  return bit_linear(x, norm, quantize_ternary(w));
}

// Every intermediate of the layer as a tensor of its own, as a framework without fused ops has it.
Var composed(const Var& x, const Var& norm, const Var& w) {
  Backend& on = x.value.backend();
  const Var rows = dequantize(quantize_rows(rms_norm(x, norm)));
  const QuantizedVar t = quantize_ternary(w);
  const Tensor ones(on, {w.value.shape()[0]}, w.value.dtype());
  on.fill(ones, 1);
  const Tensor scales = multiply({ones}, {t.scale}).value;  // the one scale, for each row
  return matmul(rows, dequantize({.codes = t.codes, .scale = scales, .real = x.value.dtype()}));
}

// x, the layer's parameters, and a gradient from above.
struct Layer {
  Layer(Backend& on, const BitLinearSize& size, DType activations)
      : x{.shape = {size.rows, size.inputs}},
        norm{.shape = {size.inputs}},
        weight{.shape = {size.outputs, size.inputs}},
        dy(on, {size.rows, size.outputs}, activations) {
    for (Parameter* p : {&x, &norm, &weight}) {
      const DType dtype = p == &x ? activations : accumulator(activations);
      p->value = Tensor(on, p->shape, dtype);
      p->grad.tensor = Tensor(on, p->shape, dtype);
    }
  }
  void fill() {
    for (const Tensor& t : {x.value, norm.value, weight.value, dy}) {
      const Rng rng(1, std::uint64_t(t.elements()));
      std::vector<double> values(std::size_t(t.elements()));
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = rng.normal(i);
      upload_real(t, values);
    }
  }
  Tensor pass(const Form& form, const std::function<void()>& between = {}) {
    for (Parameter* p : {&x, &norm, &weight}) p->grad.written.clear();
    Tape tape;
    const Var y = form(tape.leaf(x), tape.leaf(norm), tape.leaf(weight));
    if (between) between();
    tape.backward(std::span(&y, 1), std::span(&dy, 1));
    return y.value;
  }
  Parameter x, norm, weight;
  Tensor dy;
};

BitLinearBytes bytes_of(const Form& form, const BitLinearSize& size, DType activations,
                        const DeviceTraits& device) {
  DryBackend dry(device);
  Layer layer(dry, size, activations);
  const std::size_t before = dry.pool().used();
  BitLinearBytes out;
  layer.pass(form, [&] { out.kept = dry.pool().used() - before; });
  out.peak = dry.pool().high_water() - before;
  return out;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = download_real(a), y = download_real(b);
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    difference = std::max(difference, std::abs(x[i] - y[i]));
    size = std::max(size, std::abs(y[i]));
  }
  return difference / size;
}

// of both forms' outputs
double difference(Layer& layer) {
  const Tensor y = layer.pass(fused);
  return largest_difference(y, layer.pass(composed));
}

}  // namespace

BitLinearBench bench_bit_linear(Backend& backend, const BitLinearSize& size, DType activations,
                                int passes) {
  Layer layer(backend, size, activations);
  layer.fill();
  BitLinearBench out{.fused_bytes = bytes_of(fused, size, activations, backend.traits()),
                     .composed_bytes = bytes_of(composed, size, activations, backend.traits()),
                     .difference = difference(layer)};
  const auto measure = [&](const Form& form) {
    backend.synchronize();
    return seconds([&] {
      layer.pass(form);
      backend.synchronize();
    });
  };
  for (int i = 0; i < passes; ++i) {  // alternating, so that what disturbs the machine hits both
    out.fused.add(measure(fused));
    out.composed.add(measure(composed));
  }
  return out;
}

std::size_t bit_linear_bytes(const BitLinearSize& size, DType activations,
                             const DeviceTraits& device) {
  DryBackend dry(device);
  Layer layer(dry, size, activations);
  const Tensor y = layer.pass(fused);  // as difference() does
  layer.pass(composed);
  return dry.pool().high_water();
}

}  // namespace tern
