#include "apps/bench/bit_linear.h"

#include <cmath>

#include "apps/bench/composed_model.h"
#include "core/dry/dry_backend.h"
#include "core/parameter_pack.h"
#include "core/rng.h"

namespace tern {
namespace {

enum class Form { fused, composed };

// What is measured in both forms. pass: forward, `between`, backward; returns what must agree.
class Subject {
 public:
  virtual ~Subject() = default;
  virtual void initialize() = 0;
  virtual Tensor pass(Form form, const std::function<void()>& between) = 0;
};
using MakeSubject = std::function<std::unique_ptr<Subject>(Backend&)>;

void fill_normal(const Tensor& t) {
  const Rng rng(1, std::uint64_t(t.elements()));
  std::vector<double> values(std::size_t(t.elements()));
  rng.normals(0, values);
  upload_real(t, values);
}

// x, the layer's parameters, and a gradient from above.
class Layer final : public Subject {
 public:
  Layer(Backend& on, const RunConfig& config, DType activations)
      : x_{.shape = {config.batch.tokens, config.model.width}},
        norm_{.shape = {config.model.width}},
        weight_{.shape = {config.model.width, config.model.width}},
        dy_(on, x_.shape, activations) {
    for (Parameter* p : {&x_, &norm_, &weight_}) {
      const DType dtype = p == &x_ ? activations : accumulator(activations);
      p->value = Tensor(on, p->shape, dtype);
      p->grad.tensor = Tensor(on, p->shape, dtype);
    }
  }
  void initialize() override {
    for (const Tensor& t : {x_.value, norm_.value, weight_.value, dy_}) fill_normal(t);
  }
  Tensor pass(Form form, const std::function<void()>& between) override {
    for (Parameter* p : {&x_, &norm_, &weight_}) p->grad.written.clear();
    Tape tape;
    const Var x = tape.leaf(x_), norm = tape.leaf(norm_), w = tape.leaf(weight_);
    const Var y = form == Form::fused ? bit_linear(x, norm, quantize_ternary(w))
                                      : composed_bit_linear(x, norm, w);
    between();
    tape.backward(std::span(&y, 1), std::span(&dy_, 1));
    return y.value;
  }

 private:
  Parameter x_, norm_, weight_;
  Tensor dy_;
};

// A model and one micro-batch of random tokens.
class WholeModel final : public Subject {
 public:
  WholeModel(Backend& on, const RunConfig& config, const ModelOptions& options)
      : on_(on),
        model_(config.model, options),
        pack_(on, model_.parameters(), {.dtype = options.dtype}),
        shape_{config.batch.tokens / config.batch.context, config.batch.context},
        tokens_(random_tokens(config, "ids")),
        ids_(on, shape_, DType::i32),
        weight_(on, {1}, options.dtype) {}
  void initialize() override {
    pack_.initialize(1);
    on_.upload(ids_, tokens_.data());
    upload_real(weight_, {1 / double(tokens_.size())});
  }
  Tensor pass(Form form, const std::function<void()>& between) override {
    pack_.begin_step();
    Tape tape;
    if (form == Form::fused) pack_.quantize();
    const Var loss = form == Form::fused ? model_.loss({.tape = &tape}, ids_, ids_, weight_).loss
                                         : composed_loss(tape, model_, ids_, ids_, weight_);
    between();
    tape.backward(loss);
    return loss.value;
  }

 private:
  Backend& on_;
  Model model_;
  ParameterPack pack_;
  Shape shape_;
  std::vector<std::int32_t> tokens_;
  Tensor ids_, weight_;
};

// One process's whole batch at once, nothing recomputed.
MakeSubject layer_of(const RunConfig& config) {
  return [config](Backend& on) -> std::unique_ptr<Subject> {
    const DType activations = on.traits().is_gpu() ? DType::bf16 : DType::f32;
    return std::make_unique<Layer>(on, config, activations);
  };
}
MakeSubject model_of(const RunConfig& config) {
  return [config](Backend& on) -> std::unique_ptr<Subject> {
    ModelOptions options = model_options(config, on.traits());
    options.recompute = Recompute::none;
    return std::make_unique<WholeModel>(on, config, options);
  };
}

void count_bytes(FormBench& bench, const MakeSubject& make, Form form, const DeviceTraits& device) {
  DryBackend dry(device);
  const auto subject = make(dry);
  const std::size_t before = dry.pool().used();
  const double moved = dry.total().bytes;
  subject->pass(form, [&] { bench.kept = dry.pool().used() - before; });
  bench.peak = dry.pool().high_water() - before;
  bench.traffic = dry.total().bytes - moved;
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

FusionBench bench_fusion(Backend& backend, const MakeSubject& make, int passes) {
  const auto nothing = [] {};
  FusionBench out;
  count_bytes(out.fused, make, Form::fused, backend.traits());
  count_bytes(out.composed, make, Form::composed, backend.traits());
  const auto subject = make(backend);
  subject->initialize();
  const Tensor y = subject->pass(Form::fused, nothing);
  out.difference = largest_difference(y, subject->pass(Form::composed, nothing));
  const auto measure = [&](Form form) {
    backend.synchronize();
    return seconds([&] {
      subject->pass(form, nothing);
      backend.synchronize();
    });
  };
  for (int i = 0; i < passes; ++i) {  // alternating, so that what disturbs the machine hits both
    out.fused.seconds.add(measure(Form::fused));
    out.composed.seconds.add(measure(Form::composed));
  }
  return out;
}

}  // namespace

FusionBench bench_layer_fusion(Backend& backend, const RunConfig& config, int passes) {
  return bench_fusion(backend, layer_of(config), passes);
}

FusionBench bench_model_fusion(Backend& backend, const RunConfig& config, int passes) {
  return bench_fusion(backend, model_of(config), passes);
}

std::size_t fusion_bytes(const RunConfig& config, const DeviceTraits& device) {
  std::size_t most = 0;
  for (const MakeSubject& make : {layer_of(config), model_of(config)}) {
    DryBackend dry(device);
    const auto subject = make(dry);
    const Tensor y = subject->pass(Form::fused, [] {});  // kept to be compared
    subject->pass(Form::composed, [] {});
    most = std::max(most, dry.pool().high_water());
  }
  return most;
}

}  // namespace tern
