// tern bench and its commands.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "apps/bench/bit_linear.h"
#include "apps/bench/eigen_product.h"
#include "apps/commands/command_line.h"
#include "apps/config/load.h"
#include "core/shape.h"
#include "layers/model_config.h"
#include "runtime/device.h"
#include "runtime/quantities.h"
#include "runtime/run_config.h"

namespace tern {
namespace {

// The model and the batch that `tern bench` trains when no configuration file is given.
struct BenchSize {
  ModelConfig model{.vocab_size = 32'000, .width = 320, .layers = 8};
  std::string name{};              // a published size, in place of the above
  Index batch = 8, context = 256;  // B, T

  // A step of so many micro-batches of B sequences. overrides: as in load_config
  RunConfig config(int micro_batches, const std::vector<std::string>& overrides = {}) const;
};

RunConfig BenchSize::config(int micro_batches, const std::vector<std::string>& overrides) const {
  const std::string numbers =
      name.empty() ? fmt::format("vocab_size = {}\nhidden_size = {}\nnum_hidden_layers = {}",
                                 model.vocab_size, model.width, model.layers)
                   : fmt::format("size = \"{}\"", name);
  const std::string text = fmt::format(
      "[run]\nsteps = 1\n[model]\n{}\n[batch]\ntokens = {}\ncontext = {}\nmicro_batch = {}\n"
      "[optimizer]\nlr = 1e-3\n[[data.source]]\npath = \"random tokens\"\n",
      numbers, micro_batches * batch * context, context, batch);
  RunConfig config = parse_config(text, "bench", overrides).config;
  if (config.model.vocab_size == 0) config.model.vocab_size = model.vocab_size;  // of a named size
  return config;
}

// --model, --width, --layers, --vocab, --batch, --context; none of them together with `instead`
void add_size_options(CLI::App& command, BenchSize& size, CLI::Option* instead = nullptr) {
  const auto unless = [&](CLI::Option* option) {
    if (instead) option->excludes(instead);
  };
  const auto number = [&](const char* flag, Index& value, const char* help, Index most) {
    unless(command.add_option(flag, value, help)
               ->check(CLI::Range(Index(1), most))
               ->capture_default_str());
  };
  unless(command.add_option("--model", size.name, "a published size, in place of D, L and V")
             ->check(CLI::IsMember(model_names())));
  number("--width", size.model.width, "D", kMaxWidth);
  number("--layers", size.model.layers, "L", kMaxLayers);
  number("--vocab", size.model.vocab_size, "V", kMaxVocabSize);
  number("--batch", size.batch, "B", 65'536);
  number("--context", size.context, "T", 65'536);
}

// --- tern bench train: training steps against a plain product, and time by kernel ---

struct BenchOptions {
  std::string config;  // a file, or "": `size`
  std::vector<std::string> overrides;
  BenchSize size;
  std::string device = "cpu";
  int steps = 9;
};

constexpr double kDatasheet = 989e12;  // dense bf16 FLOP/s of an H100 or H200
constexpr int kStepsByKernel = 2;      // what timing each kernel alone takes

std::string text_of(const Device& device) {
  const DeviceFacts& facts = device.facts();
  return facts.traits.is_gpu() ? facts.name + ", " + facts.library
                               : fmt::format("{} threads", EigenProduct::threads());
}

void print_model(const BenchSetup& setup, const Device& device) {
  const ModelConfig& model = setup.config.model;
  const ParameterCount count = count_parameters(model);
  const BatchSection& batch = setup.config.batch;
  fmt::print(
      "model D={} H={} L={} V={}: {:.2f}M weights in the body's matrices, {:.2f}M in the head\n"
      "step of {} sequences of T={}, {} at once, on {}\n",
      model.width, model.glu_width(), model.layers, model.vocab_size, double(count.body()) / 1e6,
      double(count.head) / 1e6, batch.tokens / batch.context, batch.context,
      setup.memory.micro_batch, text_of(device));
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
  const bool product = k.cost.flops / all.product > k.cost.bytes / all.copy;  // the lower roof
  const double rate = (product ? k.cost.flops : k.cost.bytes) / time;
  fmt::print("{:<40} {:>5} {:>10.1f} {:>8.1f} {:<8} {:>5.0f} % of {:<8} {:>5.1f} %\n", k.name,
             int(k.seconds.count()) / steps, time * 1e6, rate / 1e9, product ? "GFLOP/s" : "GB/s",
             100 * rate / (product ? all.product : all.copy), product ? "product" : "copy",
             100 * k.seconds.sum() / (steps * all.step));
}

// Of the kernels' time: matrix products, attention, everything else.
void print_shares(const OpsBench& r) {
  double products = 0, attention = 0, all = 0;
  for (const KernelTimes& k : r.kernels) {
    const double time = k.seconds.sum();
    all += time;
    if (k.name.starts_with("Attention"))
      attention += time;
    else if (k.cost.flops > 0)
      products += time;
  }
  fmt::print("matrix products {:.1f} %, attention {:.1f} %, everything else {:.1f} %\n",
             100 * products / all, 100 * attention / all, 100 * (all - products - attention) / all);
}

void print_kernels(const OpsBench& r, int steps) {
  fmt::print(
      "\nby kernel: {:.1f} ms, each alone; roofs: copy {:.1f} GB/s read + written, "
      "product {:.1f} GFLOP/s\n",
      r.step * 1e3, r.copy / 1e9, r.product / 1e9);
  fmt::print("{:<40} {:>5} {:>10} {:>17} {:>19} {:>7}\n", "kernel", "calls", "us, median", "rate",
             "share of the roof", "step");
  for (const KernelTimes& k : r.kernels) print_kernel(k, r, steps);
  print_shares(r);
}

void run_train(const BenchOptions& options) {
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
  command.callback([o] { run_train(*o); });
}

// --- tern bench gemm: the ways in which the device's library can compute the products of a
// training step, and the table of the fastest; the only writer of that table ---

struct GemmOptions {
  BenchSize size;
  std::vector<std::string> overrides;
  std::string device = "cuda";
};

void print_measured(const MeasuredProduct& p) {
  fmt::print("{:<52} {:>8.0f} {:>8.0f} {:>8.3f} {:>6}{:>8}  {}\n", p.product,
             p.flops / p.first / 1e12, p.flops / p.fastest / 1e12, p.first / p.fastest, p.proposals,
             p.refused, p.kept ? "kept" : "");
  std::fflush(stdout);
}

void print_forward(const ForwardProduct& p) {
  const double codes = p.codes.median(), copies = p.copies.median();
  fmt::print("{:>6} x {:>5} -> {:>5} {:>12.0f} {:>12.0f} {:>8.2f}\n", p.rows, p.inputs, p.outputs,
             p.flops() / codes / 1e12, p.flops() / copies / 1e12, copies / codes);
}

void run_gemm(const GemmOptions& options) {
  const Device device(options.device);
  const DeviceFacts& facts = device.facts();
  require(facts.traits.is_gpu(), Fault::usage, "bench gemm: --device: expected cuda or cuda:N");
  RunConfig config =
      options.size.config(2, options.overrides);  // the second adds to the gradients of the first
  config.model.layers = 1;                        // others have the same products
  const auto backend = device.make_backend(std::max(training_products_bytes(config, facts.traits),
                                                    forward_products_bytes(config, facts.traits)));
  fmt::print("D={} V={} B={} T={}, {}, {}\n", config.model.width, config.model.vocab_size,
             options.size.batch, options.size.context, facts.name, facts.library);
  fmt::print("{:<52} {:>8} {:>8} {:>8} {:>6}{:>8}\n", "the library: M N K, a b c, factors, TFLOP/s",
             "first", "fastest", "ratio", "ways", "refused");
  const std::string table = device.measure_products(
      *backend, [&] { run_training_products(*backend, config); }, print_measured);
  fmt::print("{:<24} {:>12} {:>12} {:>8}\n", "forward, TOP/s", "int8 codes", "bf16 library",
             "ratio");
  for (const ForwardProduct& p : bench_forward_products(*backend, config)) print_forward(p);
  fmt::print("the table is in {}\n", table);
}

void add_bench_gemm(CLI::App& bench) {
  const auto o = std::make_shared<GemmOptions>();
  CLI::App& command = *bench.add_subcommand(
      "gemm", "The library's ways to compute a training step's products; keeps the fastest");
  add_size_options(command, o->size);
  add_settings(command, o->overrides);
  command.add_option("--device", o->device, "cuda or cuda:N")->capture_default_str();
  command.callback([o] { run_gemm(*o); });
}

// --- tern bench bitlinear: what fusing the BitLinear saves, in a layer and in the model ---

struct BitLinearOptions {
  BenchSize size;
  std::string device = "cpu";
  int passes = 9;
};

void print_form(const char* subject, const char* form, const FormBench& r) {
  fmt::print("{:<6} {:<9} {:>10.2f} ms  ({:.2f} - {:.2f}) {:>12} {:>12} {:>12}\n", subject, form,
             r.seconds.median() * 1e3, r.seconds.low() * 1e3, r.seconds.high() * 1e3,
             bytes_text(double(r.kept)), bytes_text(double(r.peak)), bytes_text(r.traffic));
}

void print_fusion(const char* subject, const FusionBench& r) {
  const auto less = [](double fused, double composed) { return 100 * (1 - fused / composed); };
  print_form(subject, "fused", r.fused);
  print_form("", "composed", r.composed);
  fmt::print(
      "       fused: {:.2f} times as fast, {:.0f} % less kept, {:.0f} % less at the peak, "
      "{:.0f} % less traffic; outputs differ by {:.1e}\n",
      r.composed.seconds.median() / r.fused.seconds.median(),
      less(double(r.fused.kept), double(r.composed.kept)),
      less(double(r.fused.peak), double(r.composed.peak)),
      less(r.fused.traffic, r.composed.traffic), r.difference);
}

void run_bit_linear(const BitLinearOptions& options) {
  const Device device(options.device);
  const RunConfig config = options.size.config(1);
  const auto backend = device.make_backend(fusion_bytes(config, device.facts().traits));
  fmt::print("D={} L={} V={} B={} T={}, {}; forward and backward, weights ternarised each time\n",
             config.model.width, config.model.layers, config.model.vocab_size, options.size.batch,
             options.size.context, text_of(device));
  fmt::print("{:<16} {:>10} {:>3} {:<12} {:>12} {:>12} {:>12}\n", "", "median", "", "(quartiles)",
             "kept", "peak", "traffic");
  print_fusion("layer", bench_layer_fusion(*backend, config, options.passes));
  print_fusion("model", bench_model_fusion(*backend, config, options.passes));
}

void add_bench_bit_linear(CLI::App& bench) {
  const auto o = std::make_shared<BitLinearOptions>();
  CLI::App& command = *bench.add_subcommand(
      "bitlinear",
      "Fused BitLinear against separate ops, one layer and the model: time, memory, traffic");
  add_size_options(command, o->size);
  command.add_option("--device", o->device, "cpu, cuda or cuda:N")->capture_default_str();
  command.add_option("--steps", o->passes, "number of measured passes")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.callback([o] { run_bit_linear(*o); });
}

// --- tern bench attention: what a Transformer has beside products ---

struct AttentionOptions {
  AttentionSize size;
  std::string device = "cpu";
  int passes = 9;
};

void run_attention(const AttentionOptions& options) {
  const Device device(options.device);
  const DeviceFacts& facts = device.facts();
  const DType activations = facts.traits.is_gpu() ? DType::bf16 : DType::f32;
  const AttentionSize& size = options.size;
  const auto backend = device.make_backend(attention_bytes(size, activations, facts.traits));
  fmt::print("B={} T={} heads={} of {} H={}, {}, {}\n", size.batch, size.context, size.heads,
             size.head_width, size.hidden, name_of(activations),
             facts.traits.is_gpu() ? facts.name + ", " + facts.library : "CPU");
  if (!facts.attention.empty()) fmt::print("attention: {}\n", facts.attention);
  print_kernels(bench_attention(*backend, size, activations, options.passes), options.passes);
}

void add_bench_attention(CLI::App& bench) {
  const auto o = std::make_shared<AttentionOptions>();
  CLI::App& command =
      *bench.add_subcommand("attention", "Rotary embedding, attention and SwiGLU, each alone");
  const auto number = [&](const char* flag, Index& value, const char* help, Index most) {
    command.add_option(flag, value, help)->check(CLI::Range(Index(1), most))->capture_default_str();
  };
  number("--batch", o->size.batch, "B", 65'536);
  number("--context", o->size.context, "T", 65'536);
  number("--heads", o->size.heads, "heads", 1024);
  number("--head-width", o->size.head_width, "d, even", 4096);
  number("--hidden", o->size.hidden, "H of the GLU", kMaxWidth);
  command.add_option("--device", o->device, "cpu, cuda or cuda:N")->capture_default_str();
  command.add_option("--steps", o->passes, "number of measured passes")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.callback([o] {
    require(o->size.head_width % 2 == 0, Fault::usage,
            "bench attention: --head-width: expected an "
            "even number, got ",
            o->size.head_width);
    run_attention(*o);
  });
}

}  // namespace

void add_bench(CLI::App& tern) {
  CLI::App* bench = tern.add_subcommand("bench", "Measure this build on this machine.");
  bench->require_subcommand(1);
  add_bench_train(*bench);
  add_bench_decode(*bench);
  add_bench_bit_linear(*bench);
  add_bench_gemm(*bench);
  add_bench_attention(*bench);
}

}  // namespace tern
