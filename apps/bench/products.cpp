#include "apps/bench/products.h"

#include "autograd/ops.h"
#include "core/dry/dry_backend.h"
#include "core/host.h"
#include "core/rng.h"

namespace tern {
namespace {

constexpr int kRounds = 15;

// f(step) for bf16, for bf16 gradients of parameters and, where the device can, for fp8_dx
template <class F>
void with_each_precision(Backend& backend, const RunConfig& config, F&& f) {
  std::vector<RunConfig> all{config, config};
  all[1].optimizer.gradients = Stored::bf16;
  if (backend.traits().fp8) all.push_back(config), all[2].backward = BackwardProducts::fp8_dx;
  for (const RunConfig& precision : all) {
    TrainingStep step(backend, precision, config.batch.micro_batch);
    f(step);
  }
}

// remembers the forward products of a rehearsal, each shape once
class ForwardShapes final : public DryBackend {
 public:
  using DryBackend::DryBackend;
  using DryBackend::run;
  void run(const TernaryProduct& a) override {
    DryBackend::run(a);
    const auto [N, O] = dims<2>(a.y, "[ForwardShapes] y (N, O)");
    const Index I = a.x.q.shape()[1];
    for (const ForwardProduct& p : shapes_)
      if (p.rows == N && p.outputs == O && p.inputs == I) return;
    shapes_.push_back({.rows = N, .inputs = I, .outputs = O});
  }
  const std::vector<ForwardProduct>& shapes() const { return shapes_; }

 private:
  std::vector<ForwardProduct> shapes_{};
};

std::vector<ForwardProduct> forward_shapes(const RunConfig& config, const DeviceTraits& device) {
  ForwardShapes dry(device);
  TrainingStep(dry, config, config.batch.micro_batch).run();
  return dry.shapes();
}

// A random matrix from a shorter random row: the product's power depends on how its bits vary, not
// on where they repeat.
Tensor random_matrix(Backend& on, Index rows, Index columns) {
  const Index drawn = std::min<Index>(rows, 64);
  const Rng rng(1, std::uint64_t(rows));
  std::vector<double> values(std::size_t(drawn * columns));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = rng.normal(i);
  const Tensor out(on, {rows, columns}, DType::f32);
  upload_real(out.slice(0, drawn), values);
  for (Index r = drawn; r < rows; r += drawn) {
    const Index count = std::min(drawn, rows - r);
    on.copy(out.slice(r, count), out.slice(0, count));
  }
  return out;
}

TernaryWeight ternary(const QuantizedVar& w) {
  return {.t = w.codes.value, .scale = w.scale};
}

// The operands of one forward product, as codes and as their values in bf16.
struct Operands {
  Operands(Backend& on, const ForwardProduct& p)
      : x{.q = Tensor(on, {p.rows, p.inputs}, DType::i8),
          .row_scale = Tensor(on, {p.rows}, DType::f32)},
        w(ternary(quantize_ternary({random_matrix(on, p.outputs, p.inputs)}))),
        x_copy(on, {p.rows, p.inputs}, DType::bf16),
        w_copy(on, {p.outputs, p.inputs}, DType::bf16),
        y(on, {p.rows, p.outputs}, DType::bf16) {
    on.run(QuantizeRows{.y = x, .x = random_matrix(on, p.rows, p.inputs)});
    const Tensor ones(on, {p.outputs}, DType::f32);
    on.fill(ones, 1);
    on.run(Dequantize{.x = x_copy, .y = x});
    on.run(Dequantize{.x = w_copy, .y = {.q = w.t, .row_scale = ones}});
  }
  Quantized x;
  TernaryWeight w;
  Tensor x_copy, w_copy, y;
};

template <class Kernel>
double seconds_of(Backend& on, const Kernel& kernel) {
  return on.seconds_of([&] { on.run(kernel); });
}

void measure(Backend& on, ForwardProduct& p) {
  const Operands in(on, p);
  const TernaryProduct codes{.y = in.y, .x = in.x, .w = in.w};
  const Matmul copies{.y = in.y, .x = in.x_copy, .w = in.w_copy};
  seconds_of(on, codes), seconds_of(on, copies);  // whatever happens once
  for (int round = 0; round < kRounds; ++round) {
    p.codes.add(seconds_of(on, codes));
    p.copies.add(seconds_of(on, copies));
  }
}

}  // namespace

void run_training_products(Backend& backend, const RunConfig& config) {
  with_each_precision(backend, config, [](TrainingStep& step) {
    step.initialize();
    step.run();
  });
}

std::size_t training_products_bytes(const RunConfig& config, const DeviceTraits& device) {
  DryBackend dry(device);
  with_each_precision(dry, config, [](TrainingStep& step) { step.run(); });
  return dry.pool().high_water();
}

std::vector<ForwardProduct> bench_forward_products(Backend& backend, const RunConfig& config) {
  std::vector<ForwardProduct> products = forward_shapes(config, backend.traits());
  for (ForwardProduct& p : products) measure(backend, p);
  return products;
}

std::size_t forward_products_bytes(const RunConfig& config, const DeviceTraits& device) {
  DryBackend dry(device);
  for (const ForwardProduct& p : forward_shapes(config, device)) {
    const Operands in(dry, p);
    dry.run(Matmul{.y = in.y, .x = in.x_copy, .w = in.w_copy});
  }
  return dry.pool().high_water();
}

}  // namespace tern
