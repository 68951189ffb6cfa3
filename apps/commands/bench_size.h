// What `tern bench` trains when no configuration file says it: the options and the configuration
// that they stand for.
#pragma once

#include <CLI/CLI.hpp>

#include "core/shape.h"
#include "runtime/run_config.h"

namespace tern {

struct BenchSize {
  ModelConfig model{.vocab_size = 32'000, .width = 320, .layers = 8};
  std::string name{};              // a published size, in place of the above
  Index batch = 8, context = 256;  // B, T

  // A step of so many micro-batches of B sequences. overrides: as in load_config
  RunConfig config(int micro_batches, const std::vector<std::string>& overrides = {}) const;
};

// --model, --width, --layers, --vocab, --batch, --context; none of them together with `instead`
void add_size_options(CLI::App& command, BenchSize& size, CLI::Option* instead = nullptr);

}  // namespace tern
