#include "runtime/load_model.h"

#include "data/checkpoint/directory.h"
#include "runtime/checkpoint_tensors.h"
#include "runtime/memory_plan.h"
#include "runtime/training_state.h"

namespace tern {

Checkpoint open_checkpoint(const std::filesystem::path& path) {
  std::error_code error;
  const auto inside = path / "checkpoints";
  if (!std::filesystem::is_directory(inside, error)) return Checkpoint::open(path);
  const NewestGood newest = newest_good(inside);
  std::string reasons;
  for (const std::string& reason : newest.passed_over) reasons += "; " + reason;
  require(newest.path.has_value(), Fault::input, inside.string(), ": no good checkpoint", reasons);
  return Checkpoint::open(*newest.path);
}

LoadedModel load_model(const Checkpoint& checkpoint, const RunConfig& config, const Device& device,
                       const std::function<void(Model&)>& use) {
  const ModelOptions options = model_options(config, device.facts().traits);
  auto backend = make_backend(device, [&](Backend& on) {
    Model model(config.model, options);
    InferenceWeights weights(on, model.parameters(), options.dtype);
    for (const Parameter* p : weights.parameters()) weights.set(*p, [](const Tensor&) {});
    use(model);
  });
  auto model = std::make_unique<Model>(config.model, options);
  auto weights = std::make_unique<InferenceWeights>(*backend, model->parameters(), options.dtype);
  load_weights(checkpoint, *weights);
  return {.config = config,
          .backend = std::move(backend),
          .model = std::move(model),
          .weights = std::move(weights),
          .tokenizer = Tokenizer::parse(load_tokenizer_model(checkpoint), checkpoint.path()),
          .documents = training_state(checkpoint.manifest(), checkpoint.path().string()).documents};
}

}  // namespace tern
