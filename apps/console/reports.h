// Reports of a run: plain values that a training run fills and that console and metrics write.
// A number that is unknown is kUnknown (NaN) and is left out; a loss that really is not
// finite is recorded as such.
#pragma once

#include "apps/config/resolved.h"
#include "runtime/training_state.h"

namespace tern {

// Of rank 0's GPU: means over a log interval. Values that it does not give are unknown.
struct GpuReadings {
  double utilization = kUnknown;   // share of the time in which a kernel ran, 0..1
  double power = kUnknown;         // watts
  double temperature = kUnknown;   // degrees Celsius
  double clock = kUnknown;         // MHz, of the multiprocessors
  double memory_bytes = kUnknown;  // taken by all processes
};

// After an optimizer step. step counts from 1: the number of steps that are done.
struct StepReport {
  std::int64_t step = 0, steps = 0;  // done, planned
  std::int64_t tokens = 0;           // trained on so far
  double loss = kUnknown;            // nats per token
  double loss_mean = kUnknown;       // RunningMean of it
  double learning_rate = 0;
  double gradient_norm = kUnknown;  // before clipping
  bool clipped = false;
  double tokens_per_second = kUnknown;  // of all ranks together, smoothed: from Pace
  double step_seconds = 0;              // from the step's begin to its end, by the device's clock
  double data_seconds = 0;              // of the host, making the batch
  double share_of_peak = kUnknown;      // that tokens_per_second takes of the measured peak, 0..1
  double memory_bytes = 0, memory_limit_bytes = 0;     // in use, and in all
  double seconds_left = kUnknown;                      // from Pace
  std::int64_t skipped = 0;                            // updates skipped so far
  double zero_share = kUnknown, flip_rate = kUnknown;  // of all ternary weights
  GpuReadings gpu{};
};

struct ValidationReport {
  std::int64_t step = 0, tokens = 0;
  double loss = kUnknown;           // nats per token, over all sources
  double bits_per_byte = kUnknown;  // unknown where the bytes of the text are
  double seconds = 0;
  bool best = false;                                      // the lowest loss of this run
  std::vector<std::pair<std::string, double>> sources{};  // {name, loss} if there are several
};

struct SampleReport {
  std::int64_t step = 0, tokens = 0;
  int index = 0;                 // among the samples of this step
  std::string prompt{}, text{};  // text continues the prompt
};

struct CheckpointReport {
  std::int64_t step = 0, tokens = 0;
  std::string path{};
  std::string problem{};  // empty: saved; else the reason, and training continues
  std::int64_t bytes = 0;
  double seconds = 0;        // from snapshot to rename
  double stall_seconds = 0;  // of training
  bool streamed = false;     // there was no memory for a copy: training waited
};

// Whatever else happens: start, resume, skip, rewind, stop, finish, warning.
struct EventReport {
  std::int64_t step = 0;
  std::string kind{};
  std::string text{};                   // for people
  std::vector<std::int64_t> samples{};  // global indices of the batch, where they matter
  std::vector<Difference> changes{};    // of the configuration
};

struct LayerDiagnostics {
  std::string name{};
  double flip_rate = kUnknown;          // share of ternary weights that changed in this step
  double zero_share = kUnknown;         // of the ternary weights
  double scale = kUnknown;              // of the weights
  double activation_absmax = kUnknown;  // largest |x| before quantising
  double fp8_underflow = kUnknown;      // share of inputs lost to 8-bit floats in dw; with fp8
};

struct DiagnosticsReport {
  std::int64_t step = 0, tokens = 0;
  std::vector<LayerDiagnostics> layers{};
};

// At the end, however it ended.
struct RunSummary {
  std::string outcome{};  // "finished", "stopped by SIGTERM", ...
  std::int64_t step = 0, steps = 0, tokens = 0;
  std::int64_t started = 0;             // step that this process went on from
  double wall_seconds = 0;              // of this process
  double training_seconds = 0;          // of it in steps; the rest is validation, saving, waiting
  double tokens_per_second = kUnknown;  // mean of this process, without its first step
  double best_validation_loss = kUnknown;
  std::int64_t best_step = 0;
  double peak_memory_bytes = 0;
  std::int64_t skipped = 0;
  std::vector<std::string> files{};          // written, worth looking at
  std::vector<std::string> next_commands{};  // worth trying
};

}  // namespace tern
