// Compares this implementation with a golden file: a small model whose logits, loss, gradients and
// training trajectory were computed in float64 elsewhere.
#pragma once

#include "core/dtype.h"
#include "data/io/safetensors.h"
#include "layers/model.h"
#include "optim/adamw.h"
#include "optim/schedule.h"
#include "runtime/device.h"

namespace tern {

// The worst disagreement of one kind: largest |ours - theirs| over the largest |theirs|.
struct GoldenResult {
  std::string kind;                                   // "logits", "gradients", ...
  double worst = 0;                                   // relative error
  double tolerance = 0;                               // of tests/golden/README.md
  std::string where{};                                // the tensor or step that was worst
  bool passed() const { return worst <= tolerance; }  // NaN does not
};

struct GoldenReport {
  std::vector<GoldenResult> results;
  // f32 only: rounding decisions that differ from the float64 run when nothing is replayed
  std::int64_t differing_decisions = 0, decisions = 0;
  bool passed() const;
};

// f64: compared as it is. f32: with the rounding decisions of a float64 run replayed, since a
// decision that flips changes everything after it. Fault::input for a file that lacks something.
// The float64 run is always the CPU's.
GoldenReport check_golden(const std::filesystem::path& file, DType dtype,
                          const Device& device = Device("cpu"));

// Integer codes of every quantiser of one forward pass, by name.
using Decisions = std::map<std::string, std::vector<std::int8_t>>;

// Configuration of a golden file's model, and shape (B, T) of its input_ids. Fault::input if it
// does not.
ModelConfig golden_config(const SafetensorsFile& file);
Shape golden_shape(const SafetensorsFile& file);
// The values that it has for one of a model's parameters under this prefix: "param." or "grad.".
std::vector<double> golden_values(const SafetensorsFile& file, const std::string& prefix,
                                  const Model& model, const Parameter& p);

// A golden file's model on one device, ready to be run in either precision.
class GoldenModel {
 public:
  // Fault::input, naming the key, if the file's model or update is not one that is computed here.
  GoldenModel(const SafetensorsFile& file, DType dtype, Backend& backend);

  Model& model() { return *model_; }
  ParameterPack& pack() { return *pack_; }
  void load_parameters();

  // Notes every code it sees; counts those that differ from `other` and, if replay, takes other's.
  Observer recorder(Decisions& seen, const Decisions* other, bool replay, std::int64_t& differing);

  std::vector<double> logits(const Observer& observe);
  double loss_and_gradients(const Observer& observe);  // gradients stay in the parameters
  struct Step {
    double loss = 0, grad_norm = 0;
  };
  Step train_step(int step, double rate, const Observer& observe);
  int train_steps() const;
  double rate(int step) const;  // by the schedule in the file's metadata

 private:
  double backward(const std::vector<std::int32_t>& ids, const std::vector<std::int32_t>& targets,
                  Shape shape, const Observer& observe);
  const SafetensorsFile& file_;
  Backend& backend_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<ParameterPack> pack_;
  std::unique_ptr<AdamWOptimizer> optimizer_;
  double weight_decay_ = 0, peak_rate_ = 0;
  std::unique_ptr<Schedule> schedule_;
};

}  // namespace tern
