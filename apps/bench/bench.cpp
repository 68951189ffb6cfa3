#include "apps/bench/bench.h"

#include <fmt/format.h>

#include <cmath>

#include "apps/bench/eigen_product.h"
#include "autograd/ops.h"
#include "core/backend.h"
#include "core/dry/dry_backend.h"
#include "core/rng.h"

namespace tern {
namespace {

constexpr double kRate = 1e-3, kDecay = 0.1;

std::string product_shape(const Tensor& y, const Tensor& x) {
  return fmt::format(" {}x{}x{}", y.shape()[0], x.shape().last(), y.shape()[1]);
}

constexpr Index kProductRows = 4096;      // as the target is defined
constexpr Index kCopyBytes = 512 << 20;   // more than any cache
constexpr Index kSquare = 8192;           // rows and columns of a GPU's product
constexpr double kProductSeconds = 0.15;  // one measurement of the product lasts this long

Yardstick eigen_yardstick(const ModelConfig& model) {
  auto product = std::make_shared<EigenProduct>(kProductRows, model.width, 2 * model.glu_width());
  return [product] {
    int runs = 0;
    double time = 0;
    for (; time < kProductSeconds; ++runs) time += seconds([&] { product->run(); });
    return runs * product->flops() / time;
  };
}

Yardstick device_yardstick(Backend& on) {
  auto product = std::make_shared<SquareProduct>(on, DType::bf16, kSquare);
  return [product] {
    Samples rate;
    for (int i = 0; i < 12; ++i) rate.add(product->flops() / product->seconds());
    return rate.median();
  };
}

constexpr int kRounds = 15;

// f(step) for bf16, for bf16 gradients of parameters and, where the device can, for 8-bit products
template <class F>
void with_each_precision(Backend& backend, const RunConfig& config, F&& f) {
  std::vector<RunConfig> all{config, config};
  all[1].optimizer.gradients = Stored::bf16;
  if (backend.traits().fp8 && config.model.quantize == Quantize::ternary)
    for (const auto backward : {Backward::fp8_dx, Backward::fp8}) {
      all.push_back(config);
      all.back().backward = backward;
    }
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

std::vector<std::int32_t> random_tokens(const RunConfig& config, const char* stream) {
  const Rng rng(1, stream_of(stream));
  std::vector<std::int32_t> ids(std::size_t(config.batch.tokens));
  for (std::size_t i = 0; i < ids.size(); ++i)
    ids[i] = std::int32_t(rng.uniform(i) * double(config.model.vocab_size));
  return ids;
}

double copy_rate(Backend& backend) {
  const Tensor from(backend, {kCopyBytes}, DType::i8), to(backend, {kCopyBytes}, DType::i8);
  backend.fill(from, 1);
  backend.fill(to, 0);
  Samples rate;
  for (int i = 0; i < 9; ++i)
    rate.add(2.0 * double(kCopyBytes) / backend.seconds_of([&] { backend.copy(to, from); }));
  return rate.median();
}

TrainingStep::TrainingStep(Backend& backend, const RunConfig& config, Index micro_batch)
    : trainer_(backend, config, micro_batch),
      ids_(random_tokens(config, "ids")),
      targets_(random_tokens(config, "targets")) {}

PendingUpdate TrainingStep::run() {
  return trainer_.step({ids_, targets_}, loss_weight(targets_), kRate, kDecay);
}

std::string TimedBackend::shape(const Matmul& a) {
  return product_shape(a.y, a.x);
}
std::string TimedBackend::shape(const MatmulBackward& a) {
  return product_shape(a.dy, a.x);
}
std::string TimedBackend::shape(const TernaryProduct& a) {
  return product_shape(a.y, a.x.q);
}
std::string TimedBackend::shape(const TernaryProductBackward& a) {
  return product_shape(a.rows_of_dy(), a.x.q);
}

std::string TimedBackend::shape(const Attention& a) {  // steps x keys
  const Index T = a.out.shape()[1];
  return fmt::format(" {}x{}", T, a.seen + T);
}

void TimedBackend::note(const std::string& name, const Cost& cost, double seconds) {
  KernelTimes& times = kernels_[{name, cost.bytes}];
  times.name = name;
  times.cost = cost;
  times.seconds.add(seconds);
}

std::vector<KernelTimes> TimedBackend::kernels() const {
  std::vector<KernelTimes> sorted;
  for (const auto& [key, times] : kernels_) sorted.push_back(times);
  std::sort(sorted.begin(), sorted.end(), [](const KernelTimes& a, const KernelTimes& b) {
    return a.seconds.sum() > b.seconds.sum();
  });
  return sorted;
}

Yardstick yardstick(Backend& backend, const ModelConfig& model) {
  return backend.traits().is_gpu() ? device_yardstick(backend) : eigen_yardstick(model);
}

TrainBench bench_train(Backend& backend, const BenchSetup& setup, int steps,
                       const std::function<void(int)>& progress) {
  const RunConfig& config = setup.config;
  const Yardstick product_rate = yardstick(backend, config.model);
  TrainingStep step(backend, config, setup.memory.micro_batch);
  step.initialize();
  const double flops = double(gemm_flop_per_token(config.model)) * double(config.batch.tokens);
  step.run();  // touches the memory
  product_rate();
  TrainBench out;
  double before = product_rate();
  out.product.add(before);
  for (int s = 0; s < steps; ++s) {
    const double train = flops / seconds([&] {
                           out.host.add(seconds([&] { step.run(); }));
                           backend.synchronize();
                         });
    const double after = product_rate();
    out.train.add(train);
    out.product.add(after);
    out.ratio.add(2 * train / (before + after));
    before = after;
    progress(s + 1);
  }
  return out;
}

OpsBench bench_ops(Backend& backend, const BenchSetup& setup, int steps) {
  OpsBench out{.copy = copy_rate(backend)};
  const Yardstick product_rate = yardstick(backend, setup.config.model);
  TimedBackend timed(backend);
  TrainingStep step(timed, setup.config, setup.memory.micro_batch);
  step.initialize();
  step.run();
  timed.forget();
  Samples products;
  for (int s = 0; s < steps; ++s) {
    products.add(product_rate());
    step.run();
  }
  out.product = products.median();
  out.kernels = timed.kernels();
  for (const KernelTimes& k : out.kernels) out.step += k.seconds.sum() / steps;
  return out;
}

std::size_t bench_bytes(const BenchSetup& setup, const DeviceTraits& device) {
  DryBackend dry(device);
  if (device.is_gpu()) device_yardstick(dry)();
  return std::max(setup.memory.peak + dry.pool().high_water(), 2 * std::size_t(kCopyBytes));
}

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

SquareProduct::SquareProduct(Backend& on, DType dtype, Index n)
    : n_(n), x_(on, {n, n}, dtype), w_(on, {n, n}, dtype), y_(on, {n, n}, dtype) {
  constexpr Index rows = 64;  // repeated
  const Rng rng(1, stream_of("peak"));
  std::vector<double> values(std::size_t(rows * n));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = rng.uniform(i) - 0.5;
  for (const Tensor& t : {x_, w_})
    for (Index row = 0; row < n; row += rows) upload_real(t.slice(row, rows), values);
}

double SquareProduct::seconds() const {
  Backend& on = y_.backend();
  return on.seconds_of([&] { on.run(Matmul{.y = y_, .x = x_, .w = w_}); });
}

}  // namespace tern
