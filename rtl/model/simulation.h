// The core in simulation, for programs that have no Verilator in them: what the plugin
// libtern_rtl_sim.so offers. It is built with TERN_RTL=ON, from rtl/simulation and rtl/*.sv.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rtl/model/counters.h"
#include "rtl/model/executor.h"

namespace tern::rtl {

// What one token's program left and took.
struct SimulatedToken {
  std::int32_t likeliest = -1;  // -1: AMAX found none
  bool saturated = false;       // something did
  bool illegal = false;         // a tile had a code that is none, in this token or before
  std::int64_t cycles = 0;      // of the clock
  Counters counters{};
  std::int64_t read_bytes = 0, written_bytes = 0;  // whole beats of the memory port
};

// A waveform has the first cycles of the first token only, so that it stays small.
inline constexpr std::int64_t kWaveformCycles = 10'000;

struct SimulationSetup {
  std::span<std::byte> memory{};  // outlives the simulation, which reads and writes it
  std::span<const std::uint64_t> program{};
  Executor::Lengths lengths{};
  int port_bits = 0;       // one of widths()
  int latency = 1;         // cycles of the memory, at least, from a request to its first beat
  std::string waveform{};  // file to write, in FST; empty: none
};

class SimulatedCore {
 public:
  virtual ~SimulatedCore() = default;
  // Fault::input for an address outside of the memory; Fault::internal where the core breaks the
  // protocol of its port.
  virtual SimulatedToken run(std::uint32_t token) = 0;
};

class SimulationPlugin {
 public:
  virtual ~SimulationPlugin() = default;
  virtual std::vector<int> widths() const = 0;  // of memory ports, in bits
  // Fault::disk if the waveform's file cannot be written.
  virtual std::unique_ptr<SimulatedCore> open(const SimulationSetup& setup) = 0;
};

}  // namespace tern::rtl

// Lives as long as the program.
extern "C" tern::rtl::SimulationPlugin* tern_rtl_plugin();
