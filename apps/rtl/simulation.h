// The core that an image is for, in simulation: tokens in and out, and what they took.
#pragma once

#include <memory>

#include "rtl/model/image.h"
#include "rtl/model/simulation.h"

namespace tern {

// Of all tokens so far.
struct SimulationTotals {
  std::int64_t tokens = 0, saturated = 0;  // saturated: tokens in which something did
  std::int64_t cycles = 0, read_bytes = 0, written_bytes = 0;
  rtl::Counters counters{};
  double seconds = 0;  // of this machine
};

class Simulation {
 public:
  struct Options {
    int latency = 1;         // of the memory, in cycles
    std::string waveform{};  // a new file; empty: none
  };
  // The image outlives this, which changes its memory. Fault::usage without the plugin;
  // Fault::input if it has no core of the image's width; Fault::disk for the waveform.
  Simulation(rtl::Image& image, const Options& options);

  // A token through the core: the likeliest behind it. Fault::input for a program that finds none,
  // or reads or writes outside of the memory.
  std::int32_t run(std::int32_t token);

  // A table for people, at a clock of so many MHz. After at least one token.
  std::string report(double clock) const;

 private:
  rtl::ImageSizes sizes_;
  Options options_;
  std::unique_ptr<rtl::SimulatedCore> core_;
  SimulationTotals totals_{};
};

}  // namespace tern
