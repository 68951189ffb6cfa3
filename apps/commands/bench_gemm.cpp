// tern bench gemm: the ways in which the device's library can compute the products of a training
// step, and the table of the fastest. The only writer of that table.
#include <fmt/format.h>

#include <memory>

#include "apps/bench/products.h"
#include "apps/commands.h"
#include "apps/commands/bench_size.h"
#include "runtime/device.h"

namespace tern {
namespace {

struct GemmOptions {
  BenchSize size;
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
  RunConfig config = options.size.config(2);  // the second adds to the gradients of the first
  config.model.layers = 1;                    // others have the same products
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

}  // namespace

void add_bench_gemm(CLI::App& bench) {
  const auto o = std::make_shared<GemmOptions>();
  CLI::App& command = *bench.add_subcommand(
      "gemm", "The library's ways to compute a training step's products; keeps the fastest");
  add_size_options(command, o->size);
  command.add_option("--device", o->device, "cuda or cuda:N")->capture_default_str();
  command.callback([o] { run_gemm(*o); });
}

}  // namespace tern
