// tern bench decode: tokens a second, beside the rate at which this machine reads memory.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/bench/decode.h"
#include "apps/bench/eigen_product.h"
#include "apps/commands/command_line.h"
#include "apps/run/gpu_monitor.h"
#include "apps/run/open_model.h"
#include "apps/system/environment.h"
#include "core/cpu/cpu_backend.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

struct DecodeOptions {
  std::string model = "370m", checkpoint, device = "cpu";
  DecodeSize size{};
  bool json = false;
};

// What was measured, and what of.
struct DecodeReport {
  std::string model{};  // "370m, random weights", or the path
  ModelConfig config{};
  std::string processor{}, kernels{};
  bool gpu = false;
  DecodeSize size{}, dense_size{};
  DecodeBench decode{};
  std::optional<DecodeBench> dense{};
  std::string no_dense{};  // why there is none
};

bool is_ternary(const DecodeReport& r) {
  return r.config.quantize == Quantize::ternary;
}

// The driver's counter of a GPU is updated every 0.1 s or sooner.
EnergyCounter energy_of(const Device& device) {
  if (!device.facts().traits.is_gpu()) return package_energy();
  const auto gpu = std::make_shared<GpuEnergy>(device.facts().pci);
  return {.joules = [gpu] { return gpu->joules(); }, .between = 0.1};
}

DecodeBench measure(SavedModel saved, const Device& device, const DecodeSize& size, bool prefill) {
  const LoadedModel loaded =
      load_model(saved, device, [&](Model& model) { rehearse_decode(model, size); });
  saved.mapped.reset();  // a GPU has a copy, a CPU's tensors own the memory
  return bench_decode(loaded, size, prefill, energy_of(device));
}

// A real matrix costs many times the bytes: fewer tokens behind fewer.
DecodeSize dense_size(const DecodeSize& size) {
  return {.prompt = std::min<Index>(size.prompt, 8),
          .tokens = std::clamp<Index>(size.tokens / 8, 1, 16)};
}

void measure_dense(DecodeReport& r, const Device& device) {
  ModelConfig config = r.config;
  config.quantize = Quantize::none, config.attention = AttentionKind::dense;
  r.no_dense = is_ternary(r) ? no_dense_model(config, device) : "the model is dense itself";
  if (r.no_dense.empty()) r.dense = measure(random_model(config), device, r.dense_size, false);
}

DecodeReport measure(const DecodeOptions& options) {
  const Device device(options.device);
  const bool random = options.checkpoint.empty(), gpu = device.facts().traits.is_gpu();
  SavedModel saved =
      random ? random_model(named_model(options.model)) : open_model(options.checkpoint);
  DecodeReport r{.model = random ? options.model + ", random weights" : options.checkpoint,
                 .config = saved.config.model,
                 .processor = gpu ? device.facts().name : describe_environment({}, {}).cpu,
                 .kernels = gpu ? device.facts().library : std::string(CpuBackend::code_kernels()),
                 .gpu = gpu,
                 .size = options.size,
                 .dense_size = dense_size(options.size)};
  r.decode = measure(std::move(saved), device, options.size, true);
  measure_dense(r, device);
  return r;
}

// --- as text ---

void row(const char* name, const std::string& text) {
  fmt::print("{:<14} {}\n", name, text);
}

const char* roof_name(const DecodeReport& r) {
  return r.gpu ? "copy" : "plain read";
}

const char* dense_type(const DecodeReport& r) {
  return r.gpu ? "bf16" : "f32";
}

void print_speed(const DecodeReport& r, const DecodeBench& d, Index streams) {
  row("decode",
      fmt::format("{:.1f} tokens/s, {:.3f} ms a {} (median; p99 {:.3f})",
                  d.tokens_per_second(streams), d.step.median() * 1e3,
                  streams > 1 ? "token of each stream" : "token", d.step.quantile(0.99) * 1e3));
  row("weights read",
      fmt::format("{} a step, {:.2f} GB/s: {:.1f} % of {}", bytes_text(d.bytes.streamed()),
                  d.streamed() / 1e9, 100 * d.share_of_roof(), roof_name(r)));
}

std::string prefill_text(const DecodeReport& r) {
  const DecodeBench& d = r.decode;
  const std::string speed = fmt::format("{:.0f} tokens/s", d.prefill.median());
  if (!is_ternary(r)) return speed;
  if (d.int8.count() == 0) return speed + "; share of the int8 peak: not measured";
  return speed + fmt::format(", {:.1f} % of the int8 peak", 100 * d.prefill_share());
}

void print_roofs(const DecodeReport& r) {
  const DecodeBench& d = r.decode;
  row(roof_name(r),
      fmt::format("{:.2f} GB/s{} (quartiles {:.2f} - {:.2f})", d.roof.median() / 1e9,
                  r.gpu ? " read + written" : "", d.roof.low() / 1e9, d.roof.high() / 1e9));
  if (d.int8.count() > 0)
    row("int8 peak", fmt::format("{:.2f} TOP/s, the kernel on operands in the first cache",
                                 d.int8.median() / 1e12));
}

std::string energy_text(const DecodeReport& r) {
  const DecodeBench& d = r.decode;
  if (d.too_short) return "J a token: not reported: the counter is too slow for so few --tokens";
  if (!d.joules) return "J a token: not reported";
  return fmt::format("{:.4f} J a token, {}", *d.joules,
                     r.gpu ? "the GPU alone" : "all processor packages");
}

void print_memory(const DecodeReport& r) {
  const DecodeBench& d = r.decode;
  row("state", bytes_text(d.bytes.state) + " of all streams, not counted above");
  row("memory", fmt::format("{} resident at the peak: the program, weights, states, activations",
                            bytes_text(double(d.resident))));
  if (r.gpu) row("", bytes_text(double(d.pool)) + " on the device");
  row("energy", energy_text(r));
}

void print_dense(const DecodeReport& r) {
  if (!r.dense) return row("dense", "not measured: " + r.no_dense);
  fmt::print("\nthe dense model of this shape, {}, 1 stream, {} tokens behind {}\n", dense_type(r),
             r.dense_size.tokens, r.dense_size.prompt);
  print_speed(r, *r.dense, 1);
}

void print(const DecodeReport& r) {
  const ModelConfig& model = r.config;
  fmt::print("{}: D={} H={} L={} V={}, {}\n", r.model, model.width, model.glu_width(), model.layers,
             model.vocab_size, is_ternary(r) ? "ternary" : "dense");
  fmt::print("{}, {}{}\n", r.processor.empty() ? "unknown processor" : r.processor,
             r.gpu ? "" : fmt::format("{} threads, kernels: ", EigenProduct::threads()), r.kernels);
  fmt::print("{} stream{}, {} tokens of each behind {}\n\n", r.size.streams,
             r.size.streams == 1 ? "" : "s", r.size.tokens, r.size.prompt);
  print_speed(r, r.decode, r.size.streams);
  row("prefill", prefill_text(r));
  print_roofs(r);
  print_memory(r);
  print_dense(r);
}

// --- as JSON ---

using nlohmann::json;

json speed_json(const DecodeBench& d, Index streams) {
  return {{"tokens_per_second", d.tokens_per_second(streams)},
          {"ms_per_token", d.step.median() * 1e3},
          {"ms_per_token_p99", d.step.quantile(0.99) * 1e3},
          {"bytes_per_step", d.bytes.streamed()},
          {"bytes_per_second", d.streamed()},
          {"roof_bytes_per_second", d.roof.median()},
          {"roof_quartiles", {d.roof.low(), d.roof.high()}},
          {"share_of_roof", d.share_of_roof()},
          {"state_bytes", d.bytes.state},
          {"pool_bytes", d.pool}};
}

json report_json(const DecodeReport& r) {
  const DecodeBench& d = r.decode;
  const bool shared = is_ternary(r) && d.int8.count() > 0;
  json out = speed_json(d, r.size.streams);
  out.update({{"model", r.model},
              {"hidden_size", r.config.width},
              {"intermediate_size", r.config.glu_width()},
              {"num_hidden_layers", r.config.layers},
              {"vocab_size", r.config.vocab_size},
              {"ternary", is_ternary(r)},
              {"processor", r.processor},
              {"kernels", r.kernels},
              {"streams", r.size.streams},
              {"prompt_tokens", r.size.prompt},
              {"tokens", r.size.tokens},
              {"roof", roof_name(r)},
              {"prefill_tokens_per_second", d.prefill.median()},
              {"int8_peak", d.int8.count() > 0 ? json(d.int8.median()) : json()},
              {"prefill_share_of_int8_peak", shared ? json(d.prefill_share()) : json()},
              {"resident_bytes", d.resident},
              {"joules_per_token", d.joules ? json(*d.joules) : json()}});
  if (!r.gpu) out["threads"] = EigenProduct::threads();
  if (r.dense) {
    out["dense"] = speed_json(*r.dense, 1);
    out["dense"].update({{"type", dense_type(r)},
                         {"prompt_tokens", r.dense_size.prompt},
                         {"tokens", r.dense_size.tokens}});
  } else {
    out["dense"] = json(), out["no_dense"] = r.no_dense;
  }
  return out;
}

void run(const DecodeOptions& options) {
  const DecodeReport report = measure(options);
  if (!options.json) return print(report);
  fmt::print("{}\n", report_json(report).dump(2));
}

}  // namespace

void add_bench_decode(CLI::App& bench) {
  const auto o = std::make_shared<DecodeOptions>();
  CLI::App& command = *bench.add_subcommand(
      "decode", "Tokens a second of a model, against the rate of reading memory");
  CLI::Option* size = command.add_option("--model", o->model, "a size by name, random weights")
                          ->check(CLI::IsMember(model_names()))
                          ->capture_default_str();
  command.add_option("--checkpoint", o->checkpoint, kModelArgument)
      ->transform(path_argument())
      ->excludes(size);
  const auto number = [&](const char* flag, Index& value, const char* help, Index most) {
    command.add_option(flag, value, help)->check(CLI::Range(Index(1), most))->capture_default_str();
  };
  number("--streams", o->size.streams, "sequences that are continued together", 4096);
  number("--prompt-tokens", o->size.prompt, "tokens of each that are read first", 1'000'000);
  number("--tokens", o->size.tokens, "tokens of each that are drawn", 1'000'000);
  command.add_option("--device", o->device, "cpu, cuda or cuda:N")->capture_default_str();
  command.add_flag("--json", o->json, "the same numbers as one JSON object");
  command.callback([o] { run(*o); });
}

}  // namespace tern
