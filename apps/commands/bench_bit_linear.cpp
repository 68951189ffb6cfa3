// tern bench bitlinear: what fusing one BitLinear layer saves in time and memory.
#include <fmt/format.h>

#include <memory>

#include "apps/bench/bit_linear.h"
#include "apps/commands.h"
#include "apps/console/text.h"
#include "layers/model_config.h"
#include "runtime/device.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

struct BitLinearOptions {
  BitLinearSize size;
  std::string device = "cpu";
  int passes = 9;
};

void print_form(const char* name, const Samples& seconds, const BitLinearBytes& bytes) {
  fmt::print(
      "{:<10} {:>10.1f} us  (quartiles {:.1f} - {:.1f})  {:>8} kept for backward, {:>8} at the "
      "peak\n",
      name, seconds.median() * 1e6, seconds.low() * 1e6, seconds.high() * 1e6,
      bytes_text(double(bytes.kept)), bytes_text(double(bytes.peak)));
}

void run_bit_linear(const BitLinearOptions& options) {
  const Device device(options.device);
  const DeviceTraits traits = device.facts().traits;
  const DType activations = traits.is_gpu() ? DType::bf16 : DType::f32;
  const BitLinearSize& size = options.size;
  const auto backend = device.make_backend(bit_linear_bytes(size, activations, traits));
  const BitLinearBench r = bench_bit_linear(*backend, size, activations, options.passes);
  fmt::print(
      "BitLinear ({}, {}) -> ({}, {}), {}, forward and backward, weights quantised each time\n",
      size.rows, size.inputs, size.rows, size.outputs, name_of(activations));
  print_form("fused", r.fused, r.fused_bytes);
  print_form("composed", r.composed, r.composed_bytes);
  fmt::print(
      "fused is {:.2f} times as fast and keeps {:.0f} % less memory; outputs differ by {:.1e}\n",
      r.composed.median() / r.fused.median(),
      100 * (1 - double(r.fused_bytes.kept) / double(r.composed_bytes.kept)), r.difference);
}

}  // namespace

void add_bench_bit_linear(CLI::App& bench) {
  const auto o = std::make_shared<BitLinearOptions>();
  CLI::App& command = *bench.add_subcommand(
      "bitlinear", "One fused BitLinear layer against the same composed from separate ops");
  const auto number = [&](const char* flag, Index& value, const char* help) {
    command.add_option(flag, value, help)
        ->check(CLI::Range(Index(1), Index(1) << 20))
        ->capture_default_str();
  };
  number("--rows", o->size.rows, "N, tokens");
  number("--inputs", o->size.inputs, "I");
  number("--outputs", o->size.outputs, "O");
  command.add_option("--device", o->device, "cpu, cuda or cuda:N")->capture_default_str();
  command.add_option("--steps", o->passes, "number of measured passes")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.callback([o] { run_bit_linear(*o); });
}

}  // namespace tern
