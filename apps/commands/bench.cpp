#include "apps/bench/bench.h"

#include <fmt/format.h>

#include <memory>

#include "apps/bench/eigen_product.h"
#include "apps/commands.h"
#include "apps/run/device.h"
#include "apps/train/trainer.h"

namespace tern {
namespace {

struct BenchOptions {
  TrainingSize size;
  std::string model, device = "cpu", residual = "bf16", recompute = "none", moments = "f32";
  int steps = 9;
};

constexpr double kDatasheet = 989e12;  // dense bf16 FLOP/s of an H100 or H200

void print_model(const TrainingSize& size, const Device& device) {
  const ModelConfig model = size.model();
  const ParameterCount count = count_parameters(model);
  fmt::print(
      "model D={} H={} L={} V={}: {:.2f}M ternary in the body, {:.2f}M in the head; "
      "B={} T={}, {}\n",
      size.width, model.glu_width(), size.layers, size.vocab, double(count.body()) / 1e6,
      double(count.head) / 1e6, size.batch, size.context,
      device.facts().traits.is_gpu() ? device.facts().name + ", " + device.facts().library
                                     : fmt::format("{} threads", EigenProduct::threads()));
}

// What the options say, in the device's own number formats.
TrainingSize size_of(const BenchOptions& options, const Device& device) {
  TrainingSize size = options.size;
  if (!options.model.empty()) {
    const ModelConfig model = named_model(options.model);
    size.width = model.width, size.layers = model.layers, size.vocab = model.vocab_size;
  }
  RunConfig config;
  if (options.residual == "f32") config.residual = Activations::f32;
  if (options.recompute == "cheap") config.recompute = Recompute::cheap;
  if (options.recompute == "full") config.recompute = Recompute::full;
  if (options.moments == "bf16") config.optimizer.moments = Moments::bf16;
  size.optimizer = optimizer_options(config);
  size.options = model_options(config, device.facts().traits, true);
  return size;
}

void print_rate(const char* what, const Samples& rate) {
  fmt::print("{:<44} {:8.1f} GFLOP/s  (quartiles {:.1f} - {:.1f})\n", what, rate.median() / 1e9,
             rate.low() / 1e9, rate.high() / 1e9);
}

void run_train(const BenchOptions& options) {
  const Device device(options.device);
  const bool gpu = device.facts().traits.is_gpu();
  const TrainingSize size = size_of(options, device);
  const auto backend = device.make_backend(bench_bytes(size, device.facts().traits));
  print_model(size, device);
  const TrainBench r = bench_train(*backend, size, options.steps, [&](int step) {
    fmt::print(stderr, "step {} of {}\n", step, options.steps);
  });
  const double flops = double(gemm_flop_per_token(size.model()));
  print_rate(gpu ? "bf16 product of 8192 cubed, random operands"
                 : fmt::format("Eigen's float product (4096, {}) x ({}, {})", size.width,
                               size.width, 2 * size.model().glu_width())
                       .c_str(),
             r.product);
  print_rate("training step, 6 x GEMM parameters x tokens", r.train);
  fmt::print("{:<44} {:8.0f} tokens/s\n", "", r.train.median() / flops);
  if (gpu)
    fmt::print("bf16-equivalent MFU {:.1f} % of 989 TFLOP/s; peak memory {:.2f} GiB as planned\n",
               100 * r.train.median() / kDatasheet,
               double(training_bytes(size, device.facts().traits)) / double(1 << 30));
  fmt::print("ratio {:.1f} %  (quartiles {:.1f} - {:.1f}, {} steps)\n", 100 * r.ratio.median(),
             100 * r.ratio.low(), 100 * r.ratio.high(), r.ratio.count());
}

void print_kernel(const KernelTimes& k, const OpsBench& all, int steps) {
  const double time = k.seconds.median();
  const bool product = k.cost.flops > 0;
  const double rate = (product ? k.cost.flops : k.cost.bytes) / time;
  fmt::print("{:<40} {:>5} {:>10.1f} {:>8.1f} {:<8} {:>5.0f} % of {:<8} {:>5.1f} %\n", k.name,
             int(k.seconds.count()) / steps, time * 1e6, rate / 1e9, product ? "GFLOP/s" : "GB/s",
             100 * rate / (product ? all.product : all.copy), product ? "product" : "copy",
             100 * k.seconds.sum() / (steps * all.step));
}

void run_ops(const BenchOptions& options) {
  const Device device(options.device);
  const TrainingSize size = size_of(options, device);
  const auto backend = device.make_backend(bench_bytes(size, device.facts().traits));
  print_model(size, device);
  const OpsBench r = bench_ops(*backend, size, options.steps);
  fmt::print("copy {:.1f} GB/s read + written, product {:.1f} GFLOP/s, step {:.1f} ms\n",
             r.copy / 1e9, r.product / 1e9, r.step * 1e3);
  fmt::print("{:<40} {:>5} {:>10} {:>17} {:>19} {:>7}\n", "kernel", "calls", "us, median", "rate",
             "share of the roof", "step");
  for (const KernelTimes& k : r.kernels) print_kernel(k, r, options.steps);
}

void add_bench_of(CLI::App& bench, const char* name, const char* what,
                  void (*run)(const BenchOptions&)) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = bench.add_subcommand(name, what);
  const auto number = [&](const char* flag, Index& value, const char* help, Index most) {
    command->add_option(flag, value, help)
        ->check(CLI::Range(Index(1), most))
        ->capture_default_str();
  };
  command->add_option("--model", options->model, "a published size, in place of D, L and V")
      ->check(CLI::IsMember(model_names()));
  command->add_option("--device", options->device, "cpu, cuda or cuda:N")->capture_default_str();
  command->add_option("--residual", options->residual, "the stream's dtype on a GPU")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str();
  command->add_option("--recompute", options->recompute, "as memory.recompute")
      ->check(CLI::IsMember({"none", "cheap", "full"}))
      ->capture_default_str();
  command->add_option("--moments", options->moments, "as optimizer.moments")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str();
  number("--width", options->size.width, "D", kMaxWidth);
  number("--layers", options->size.layers, "L", kMaxLayers);
  number("--vocab", options->size.vocab, "V", kMaxVocabSize);
  number("--batch", options->size.batch, "B", 65'536);
  number("--context", options->size.context, "T", 65'536);
  command->add_option("--steps", options->steps, "steps that are measured")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->callback([options, run] { run(*options); });
}

}  // namespace

void add_bench(CLI::App& tern) {
  CLI::App* bench = tern.add_subcommand("bench", "Measure this build on this machine");
  bench->require_subcommand(1);
  add_bench_of(*bench, "train", "Training step against a plain product, as one ratio", run_train);
  add_bench_of(*bench, "ops", "Every kernel of a training step against the machine's roofs",
               run_ops);
  add_bench_bit_linear(*bench);
}

}  // namespace tern
