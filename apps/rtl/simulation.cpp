#include "apps/rtl/simulation.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "core/clock.h"
#include "core/plugin.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

rtl::SimulationPlugin& simulations() {
  const Plugin plugin = open_plugin("libtern_rtl_sim.so", "tern_rtl_plugin", RTLD_LOCAL);
  require(plugin.factory, Fault::usage, "rtl run: ", plugin.why,
          " (needs a build with -DTERN_RTL=ON and Verilator: make rtl)");
  return *reinterpret_cast<rtl::SimulationPlugin* (*)()>(plugin.factory)();
}

std::unique_ptr<rtl::SimulatedCore> open_core(rtl::Image& image,
                                              const Simulation::Options& options) {
  rtl::SimulationPlugin& plugin = simulations();
  const int width = int(image.header().sizes.port_bits);
  const std::vector<int> widths = plugin.widths();
  require(std::ranges::find(widths, width) != widths.end(), Fault::input,
          "rtl run: expected an image for a port of ", fmt::format("{}", fmt::join(widths, ", ")),
          " bits, got one of ", width, ": build with -DTERN_RTL_WIDTHS=", width,
          ", or export it for another width");
  return plugin.open({.memory = image.memory(),
                      .program = image.program(),
                      .lengths = image.header().lengths,
                      .port_bits = width,
                      .latency = options.latency,
                      .waveform = options.waveform});
}

}  // namespace

Simulation::Simulation(rtl::Image& image, const Options& options)
    : sizes_(image.header().sizes), options_(options), core_(open_core(image, options)) {}

std::int32_t Simulation::run(std::int32_t token) {
  const double begin = monotonic_seconds();
  const rtl::SimulatedToken out = core_->run(std::uint32_t(token));
  totals_.seconds += monotonic_seconds() - begin;
  check(!out.illegal, "[core] a tile had a code that is none");
  require(out.likeliest >= 0 && std::uint32_t(out.likeliest) < sizes_.vocabulary, Fault::input,
          "program: expected one that finds the likeliest of ", sizes_.vocabulary, " tokens, got ",
          out.likeliest);
  ++totals_.tokens;
  totals_.saturated += out.saturated;
  totals_.cycles += out.cycles;
  totals_.read_bytes += out.read_bytes;
  totals_.written_bytes += out.written_bytes;
  for (std::size_t c = 0; c < out.counters.size(); ++c) totals_.counters[c] += out.counters[c];
  return out.likeliest;
}

std::string Simulation::report(double clock) const {
  const SimulationTotals& t = totals_;
  const auto a_token = [&](std::int64_t of_all) { return double(of_all) / double(t.tokens); };
  const double cycles = a_token(t.cycles), tokens_a_second = clock * 1e6 / cycles;
  const auto megabytes = [&](std::int64_t bytes) { return a_token(bytes) * tokens_a_second / 1e6; };
  std::string text;
  const auto row = [&](const char* name, const std::string& value) {
    text += fmt::format("{:<12} {}\n", name, value);
  };
  row("core", fmt::format("a port of {} bits, memory latency {} cycle{}", sizes_.port_bits,
                          options_.latency, options_.latency == 1 ? "" : "s"));
  row("tokens", fmt::format("{}, in {} of them something saturated", t.tokens, t.saturated));
  row("cycles", fmt::format("{:.0f} a token", cycles));
  row("speed", fmt::format("{:.4g} tokens/s at {:g} MHz", tokens_a_second, clock));
  row("memory", fmt::format("{:.4g} MB/s of the port's {:.4g}: {:.4g} read, {:.4g} written",
                            megabytes(t.read_bytes + t.written_bytes), clock * sizes_.port_bits / 8,
                            megabytes(t.read_bytes), megabytes(t.written_bytes)));
  row("simulated", fmt::format("in {}, {} cycles/s", duration_text(t.seconds),
                               count_text(double(t.cycles) / t.seconds)));
  const auto table = [&](const char* title, auto names, std::size_t first) {
    text += fmt::format("\n{:<20} {:>12} {:>7}\n", title, "cycles", "share");
    for (std::size_t i = 0; i < names.size(); ++i) {
      const double count = a_token(t.counters[first + i]);
      text += fmt::format("{:<20} {:>12.0f} {:>6.1f}%\n", names[i], count, 100 * count / cycles);
    }
  };
  table("unit, busy", rtl::kUnitNames, 0);
  table("issue", rtl::kIssueNames, rtl::kUnitNames.size());
  table("array of products", rtl::kArrayNames, rtl::kUnitNames.size() + rtl::kIssueNames.size());
  return text;
}

}  // namespace tern
