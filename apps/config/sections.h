// The tables of a configuration (docs/config.md), as plain structs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/config/schedule_config.h"
#include "layers/model_config.h"

namespace tern {

struct RunSection {
  std::string name;  // "": the name of the configuration file without its extension
  std::string directory = "runs";
  std::int64_t seed = 0;
  std::int64_t steps = 0;  // this or tokens, the other 0
  std::int64_t tokens = 0;
  std::int64_t time_limit = 0;  // seconds, 0: none
};

struct DataSource {
  std::string path;
  double weight = 1;
  std::string validation;  // "": the part that was set aside when the source was prepared
};

enum class DataOrder { shuffled, sequential };

struct DataSection {
  std::vector<DataSource> sources;
  DataOrder order = DataOrder::shuffled;
  std::string tokenizer;  // "": the one that the data was prepared with
  bool verify = false;    // reads every byte of it at the start
};

enum class Stored { f32, bf16 };  // f32: as the parameters

struct OptimizerSection {
  double lr = 0;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  double clip = 1;  // global gradient norm, 0: no clipping
  Stored moments = Stored::f32;
  Stored gradients = Stored::f32;
};

struct BatchSection {
  std::int64_t tokens = 524'288;  // of one optimizer step, over all processes
  std::int64_t context = 2048;    // T
  std::int64_t micro_batch = 0;   // sequences, 0: chosen to fit the memory
};

enum class Precision { f32, f64 };
enum class Activations { automatic, f32, bf16 };
enum class BackwardProducts { bf16, fp8_dx };

struct LoggingSection {
  std::int64_t interval = 10;  // steps, here and below; 0: never
  std::int64_t diagnostics_interval = 100;
  std::int64_t sample_interval = 0;
  std::vector<std::string> sample_prompts;
  std::int64_t sample_tokens = 64;
  std::int64_t validation_interval = 0;
  std::int64_t validation_tokens = 65'536;
};

struct CheckpointSection {
  std::int64_t interval = 1000;
  std::int64_t keep_last = 2;
  std::int64_t keep_every = 0;
  bool keep_best = true;
  bool required = false;
};

struct InitFromSection {
  std::string path;
  bool moments = false;
  bool other_tokenizer = false;
};

struct NumericsSection {
  std::int64_t max_skipped = 8;
  std::int64_t max_rewinds = 3;
  std::int64_t skip_window = 16;
};

struct RanksSection {
  std::int64_t start_timeout = 300;  // seconds, here and below
  std::int64_t timeout = 600;
  std::int64_t grace = 60;
};

struct ParallelSection {
  std::int64_t zero = 0;           // 1: ranks own parts of the model
  std::int64_t replica_check = 0;  // every so many steps; 0: never
};

}  // namespace tern
