#include "apps/bench/bench.h"

#include <fmt/format.h>

#include <memory>

#include "apps/bench/eigen_product.h"
#include "apps/commands.h"
#include "apps/commands/bench_size.h"
#include "apps/commands/command_line.h"
#include "apps/config/load.h"
#include "runtime/device.h"

namespace tern {
namespace {

struct BenchOptions {
  std::string config;  // a file, or "": `size`
  std::vector<std::string> overrides;
  BenchSize size;
  std::string device = "cpu";
  int steps = 9;
};

constexpr double kDatasheet = 989e12;  // dense bf16 FLOP/s of an H100 or H200
constexpr int kStepsByKernel = 2;      // what timing each kernel alone takes

void print_model(const BenchSetup& setup, const Device& device) {
  const ModelConfig& model = setup.config.model;
  const ParameterCount count = count_parameters(model);
  const BatchSection& batch = setup.config.batch;
  fmt::print(
      "model D={} H={} L={} V={}: {:.2f}M ternary in the body, {:.2f}M in the head\n"
      "step of {} sequences of T={}, {} at once, on {}\n",
      model.width, model.glu_width(), model.layers, model.vocab_size, double(count.body()) / 1e6,
      double(count.head) / 1e6, batch.tokens / batch.context, batch.context,
      setup.memory.micro_batch,
      device.facts().traits.is_gpu() ? device.facts().name + ", " + device.facts().library
                                     : fmt::format("{} threads", EigenProduct::threads()));
}

void print_rate(const char* what, const Samples& rate) {
  fmt::print("{:<44} {:8.1f} GFLOP/s  (quartiles {:.1f} - {:.1f})\n", what, rate.median() / 1e9,
             rate.low() / 1e9, rate.high() / 1e9);
}

void print_train(const TrainBench& r, const BenchSetup& setup, bool gpu) {
  const ModelConfig& model = setup.config.model;
  print_rate(gpu ? "bf16 product of 8192 cubed, random operands"
                 : fmt::format("Eigen's float product (4096, {}) x ({}, {})", model.width,
                               model.width, 2 * model.glu_width())
                       .c_str(),
             r.product);
  print_rate("training step, 6 x GEMM parameters x tokens", r.train);
  const double rate = r.train.median() / double(gemm_flop_per_token(model));
  const std::string launching =  // a CPU computes when it is told to
      gpu ? fmt::format(", {:.1f} ms of them to launch it", r.host.median() * 1e3) : "";
  fmt::print("{:<44} {:8.0f} tokens/s, {:.1f} ms a step{}\n", "", rate,
             double(setup.config.batch.tokens) / rate * 1e3, launching);
  if (gpu)
    fmt::print("bf16-equivalent MFU {:.1f} % of 989 TFLOP/s, {:.1f} % of the product measured\n",
               100 * r.train.median() / kDatasheet, 100 * r.train.median() / r.product.median());
  fmt::print("peak memory {:.2f} GiB as planned\n", double(setup.memory.peak) / double(1 << 30));
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

void print_kernels(const OpsBench& r, int steps) {
  fmt::print(
      "\nby kernel: {:.1f} ms, each alone; roofs: copy {:.1f} GB/s read + written, "
      "product {:.1f} GFLOP/s\n",
      r.step * 1e3, r.copy / 1e9, r.product / 1e9);
  fmt::print("{:<40} {:>5} {:>10} {:>17} {:>19} {:>7}\n", "kernel", "calls", "us, median", "rate",
             "share of the roof", "step");
  for (const KernelTimes& k : r.kernels) print_kernel(k, r, steps);
}

void run(const BenchOptions& options) {
  const Device device(options.device);
  const DeviceTraits traits = device.facts().traits;
  RunConfig config = options.config.empty() ? options.size.config(1, options.overrides)
                                            : load_config(options.config, options.overrides).config;
  if (config.model.vocab_size == 0) config.model.vocab_size = ModelConfig{}.vocab_size;
  const BenchSetup setup{.config = config, .memory = choose_memory_plan(config, device)};
  print_model(setup, device);
  const auto backend = device.make_backend(bench_bytes(setup, traits));
  const TrainBench train = bench_train(*backend, setup, options.steps, [&](int step) {
    fmt::print(stderr, "step {} of {}\n", step, options.steps);
  });
  print_train(train, setup, traits.is_gpu());
  const int steps = std::min(options.steps, kStepsByKernel);
  print_kernels(bench_ops(*backend, setup, steps), steps);
}

void add_bench_train(CLI::App& bench) {
  const auto o = std::make_shared<BenchOptions>();
  CLI::App& command = *bench.add_subcommand(
      "train", "Training steps on random tokens: speed against a plain product, time by kernel");
  CLI::Option* file =
      command.add_option("--config", o->config, "a run's TOML file, in place of the sizes below")
          ->transform(path_argument());
  add_size_options(command, o->size, file);
  add_settings(command, o->overrides);
  command.add_option("--device", o->device, "cpu, cuda or cuda:N")->capture_default_str();
  command.add_option("--steps", o->steps, "number of measured steps")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.callback([o] { run(*o); });
}

}  // namespace

void add_bench(CLI::App& tern) {
  CLI::App* bench = tern.add_subcommand("bench", "Measure this build on this machine.");
  bench->require_subcommand(1);
  add_bench_train(*bench);
  add_bench_bit_linear(*bench);
  add_bench_gemm(*bench);
}

}  // namespace tern
