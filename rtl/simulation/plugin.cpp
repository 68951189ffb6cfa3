// libtern_rtl_sim.so: tern_core in Verilator, for the widths of the memory port that this build
// has.
#include <simulated_cores.h>  // of CMake: includes them, and TERN_SIMULATED_CORES(X) is X(8) X(512)
#include <verilated_fst_c.h>

#include <fstream>

#include "rtl/model/simulation.h"
#include "rtl/simulation/memory.h"

namespace tern::rtl {
namespace {

template <class Model>
class Core final : public SimulatedCore {
 public:
  explicit Core(const SimulationSetup& setup) : memory_(setup.memory) {
    memory_.latency = setup.latency;
    context_.threads(1);
    const char* arguments[] = {"tern"};
    context_.commandArgs(1, arguments);  // no bug is planted
    context_.traceEverOn(!setup.waveform.empty());
    model_ = std::make_unique<Model>(&context_, "tern");
    if (!setup.waveform.empty()) open_waveform(setup.waveform);
    Model& t = *model_;
    t.rst_n = t.start = t.program_write = t.beat_valid = t.read_ready = t.store_ready = 0;
    for (int i = 0; i < 3; ++i) tick();
    t.rst_n = 1;
    load_program(t, setup.program, setup.lengths, [this] { tick(); });
  }
  ~Core() override {
    Verilated::threadContextp(&context_);  // a model leaves the context that the thread used last
    waveform_.reset();
    model_->final();
    model_.reset();
  }

  SimulatedToken run(std::uint32_t token) override {
    const std::int64_t read = memory_.beats_read, written = memory_.beats_written;
    SimulatedToken out;
    Model& t = *model_;
    t.start = 1, t.token = token;
    cycle(), t.start = 0;
    for (; t.running; cycle()) ++out.cycles;
    waveform_.reset();
    out.likeliest = t.found ? std::int32_t(t.likeliest) : -1;
    out.saturated = t.saturated, out.illegal = t.illegal;
    for (std::size_t c = 0; c < out.counters.size(); ++c)
      out.counters[c] = std::int64_t(get(t.counters, kCounterBits * int(c), kCounterBits));
    constexpr auto kBytes = std::int64_t(PortMemory<Model>::kBeatBytes);
    out.read_bytes = (memory_.beats_read - read) * kBytes;
    out.written_bytes = (memory_.beats_written - written) * kBytes;
    return out;
  }

 private:
  static_assert(sizeof(Model::counters) ==
                (Counters{}.size() * std::size_t(kCounterBits) + 31) / 32 * 4);

  void open_waveform(const std::string& path) {
    require(bool(std::ofstream(path)), Fault::disk, path, ": cannot be written");
    waveform_ = std::make_unique<VerilatedFstC>();
    model_->trace(waveform_.get(), kLevels);
    waveform_->open(path.c_str());
  }

  // Inputs change while the clock is low, registers where it rises.
  void fall() {
    model_->clk = 0;
    model_->eval();
    if (waveform_) waveform_->dump(2 * time_);
  }
  void rise() {
    model_->clk = 1;
    model_->eval();
    if (waveform_) waveform_->dump(2 * time_ + 1);
    if (++time_ == kWaveformCycles) waveform_.reset();
  }
  void tick() { fall(), rise(); }
  void cycle() {
    memory_.offer(*model_);
    fall();
    memory_.take(*model_);
    rise();
  }

  static constexpr int kLevels = 99;  // of the hierarchy: all
  PortMemory<Model> memory_;
  VerilatedContext context_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<VerilatedFstC> waveform_{};
  std::uint64_t time_ = 0;  // cycles since the reset began
};

class Plugin final : public SimulationPlugin {
 public:
  std::vector<int> widths() const override {
#define TERN_WIDTH(width) width,
    return {TERN_SIMULATED_CORES(TERN_WIDTH)};
#undef TERN_WIDTH
  }
  std::unique_ptr<SimulatedCore> open(const SimulationSetup& setup) override {
#define TERN_OPEN(width) \
  if (setup.port_bits == width) return std::make_unique<Core<tern_simulated_##width>>(setup);
    TERN_SIMULATED_CORES(TERN_OPEN)
#undef TERN_OPEN
    fail(Fault::internal, "[simulation] expected a width of widths(), got ", setup.port_bits);
  }
};

}  // namespace
}  // namespace tern::rtl

extern "C" tern::rtl::SimulationPlugin* tern_rtl_plugin() {
  static tern::rtl::Plugin plugin;
  return &plugin;
}
