#include "runtime/trainer.h"

#include <algorithm>
#include <cmath>

#include "core/backend.h"

namespace tern {
namespace {

// Keeps of each layer the largest absmax, which is 127 / its row scales, and its underflow.
Observer recorder(StepDiagnostics& to) {
  return [&to](const std::string& name, const Tensor& value) {
    constexpr std::string_view scale = ".input.scale", underflow = ".underflow";
    if (name.ends_with(scale)) {
      double& top = to.activation_absmax[name.substr(0, name.size() - scale.size())];
      for (const double s : download_real(value)) top = std::max(top, 127 / s);
    } else if (name.ends_with(underflow)) {
      to.fp8_underflow[name.substr(0, name.size() - underflow.size())] = download_real(value)[0];
    }
  };
}

AdamWOptions optimizer_options(const RunConfig& config) {
  const OptimizerSection& o = config.optimizer;
  AdamWOptions options{.beta1 = o.beta1,
                       .beta2 = o.beta2,
                       .eps = o.eps,
                       .clip = o.clip,
                       .seed = std::uint64_t(config.run.seed)};
  if (o.moments == Stored::bf16) options.moments = DType::bf16;
  return options;
}

BackwardProducts backward_products(Backward choice) {
  switch (choice) {
    case Backward::fp8_dx:
      return BackwardProducts::fp8_dx;
    case Backward::fp8:
      return BackwardProducts::fp8;
    default:
      return BackwardProducts::stored;
  }
}

// Owners of the parameters: this process alone, or each rank some.
Shard shard_of(const RunConfig& config, const Communicator* ranks) {
  return ranks && config.parallel.zero ? Shard{ranks->rank(), ranks->size()} : Shard{};
}

// Rows of the embedding are read in the dtype of the stream: a table of that dtype loses nothing
// more.
PackOptions pack_options(const RunConfig& config, const ModelOptions& model,
                         const Communicator* ranks) {
  const bool bf16 = config.optimizer.gradients == Stored::bf16;
  return {.dtype = model.dtype,
          .gradients = bf16 ? DType::bf16 : model.dtype,
          .table = model.residual,
          .working = model.activations == DType::bf16 ? std::optional(DType::bf16) : std::nullopt,
          .shard = shard_of(config, ranks)};
}

}  // namespace

std::int64_t count_valid(std::span<const std::int32_t> targets) {
  return std::count_if(targets.begin(), targets.end(), [](auto t) { return t != kIgnoreIndex; });
}

LossSum evaluate(Model& model, const BatchView& batch, Index context) {
  const Index sequences = Index(batch.inputs.size()) / context;
  check(sequences > 0 && sequences * context == Index(batch.inputs.size()) &&
            batch.targets.size() == batch.inputs.size(),
        "[evaluate] expected whole sequences of ", context, " tokens, got ", batch.inputs.size());
  Backend& on = model.backend();
  const Tensor inputs(on, {sequences, context}, DType::i32),
      targets(on, {sequences, context}, DType::i32);
  on.upload(inputs, batch.inputs.data());
  on.upload(targets, batch.targets.data());
  const Tensor weight(on, {1}, model.options().dtype);
  upload_real(weight, {1});
  const auto out = model.loss({}, inputs, targets, weight);
  return {.loss = download_real(out.loss.value)[0], .targets = count_valid(batch.targets)};
}

ModelOptions model_options(const RunConfig& config, const DeviceTraits& device) {
  const bool f64 = config.dtype == Precision::f64, gpu = device.is_gpu();
  const bool bf16 = config.activations == Activations::bf16 ||
                    (config.activations == Activations::automatic && gpu);
  const bool bf16_residual =
      config.residual == Activations::bf16 || (config.residual == Activations::automatic && bf16);
  require(!(gpu && f64), Fault::usage, "precision.dtype: \"f64\" runs on --device cpu only");
  require(
      gpu || !bf16, Fault::usage,
      "precision.activations: \"bf16\" runs on --device cuda only: expected \"auto\" or \"f32\"");
  require(bf16 || !bf16_residual, Fault::usage,
          "precision.residual: \"bf16\" needs bf16 activations");
  const BackwardProducts backward = backward_products(config.backward);
  require(!(gpu && rounds_dx(backward)) || device.fp8, Fault::usage,
          "precision.backward: 8-bit products need a GPU of compute capability 9.0 (H100, H200): "
          "expected \"auto\" or \"bf16\"");
  const DType real = f64 ? DType::f64 : DType::f32;
  return {.dtype = real,
          .activations = bf16 ? DType::bf16 : real,
          .residual = bf16_residual ? DType::bf16 : real,
          .loss_rows = gpu ? 8192 : 1024,
          .recompute = config.recompute,
          .backward = backward};
}

double loss_weight(std::span<const std::int32_t> targets) {
  return 1.0 / double(std::max<std::int64_t>(1, count_valid(targets)));
}

Trainer::Trainer(Backend& backend, const RunConfig& config, Index micro_batch, Communicator* ranks)
    : backend_(backend),
      context_(config.batch.context),
      micro_batch_(micro_batch),
      model_(config.model, model_options(config, backend.traits())),
      pack_(backend, model_.parameters(), pack_options(config, model_.options(), ranks)),
      optimizer_(pack_, optimizer_options(config), ranks) {
  check(micro_batch > 0, "[Trainer] expected micro_batch > 0, got ", micro_batch);
}

void Trainer::backward(const BatchView& batch, Index first, Index count, const Tensor& weight,
                       StepDiagnostics* diagnostics) {
  const Tensor inputs(backend_, {count, context_}, DType::i32),
      targets(backend_, {count, context_}, DType::i32);
  backend_.upload(inputs, batch.inputs.data() + first * context_);
  backend_.upload(targets, batch.targets.data() + first * context_);
  const bool last = (first + count) * context_ == Index(batch.inputs.size());
  Tape tape(last && optimizer_.has_ranks()
                ? Tape::Ready([this](Parameter& p) { optimizer_.ready(p); })
                : Tape::Ready{});
  Pass pass{.tape = &tape};
  if (diagnostics) pass.observe = recorder(*diagnostics);
  const Var loss = model_.loss(pass, inputs, targets, weight).loss;
  optimizer_.add_loss(loss.value);
  tape.backward(loss);
}

PendingUpdate Trainer::step(const BatchView& batch, double weight_of_loss, double learning_rate,
                            double weight_decay, StepDiagnostics* diagnostics) {
  const Index sequences = Index(batch.inputs.size()) / context_;
  check(sequences > 0 && Index(batch.inputs.size()) == sequences * context_ &&
            batch.targets.size() == batch.inputs.size(),
        "[Trainer] expected whole sequences of ", context_, " tokens, got ", batch.inputs.size(),
        " inputs and ", batch.targets.size(), " targets");
  optimizer_.begin_step(learning_rate, weight_decay);
  {
    const Tensor weight(backend_, {1}, model_.options().dtype);
    upload_real(weight, {weight_of_loss});
    for (Index first = 0; first < sequences; first += micro_batch_)
      backward(batch, first, std::min(micro_batch_, sequences - first), weight,
               first == 0 ? diagnostics : nullptr);
  }
  PendingUpdate update = optimizer_.step(diagnostics != nullptr);
  if (diagnostics) diagnostics->weights = pack_.ternary_stats();
  return update;
}

}  // namespace tern
