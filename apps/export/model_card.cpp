#include "apps/export/model_card.h"

#include <fmt/format.h>

#include <cmath>

#include "apps/config/resolved.h"
#include "apps/system/environment.h"
#include "runtime/quantities.h"
#include "runtime/training_state.h"

namespace tern {
namespace {

std::string row(std::string_view name, const std::string& value) {
  return fmt::format("| {} | {} |\n", name, value);
}

std::string loss_text(double loss) {
  return std::isnan(loss)
             ? "not measured"
             : fmt::format("{:.4f} nats per token (perplexity {:.2f})", loss, std::exp(loss));
}

std::string model_rows(const SavedModel& saved) {
  const ModelConfig& m = saved.config.model;
  return row("parameters", fmt::format("{}", count_parameters(m).total())) +
         row("width, layers, GLU width",
             fmt::format("{}, {}, {}", m.width, m.layers, m.glu_width())) +
         row("vocabulary", fmt::format("{}", m.vocab_size)) +
         row("context in training", fmt::format("{} tokens", saved.config.batch.context)) +
         row("weights", m.quantize == Quantize::ternary
                            ? "latent ones; every product quantises them to -1, 0, +1"
                            : "real numbers; nothing is quantised");
}

std::string training_rows(const SavedModel& saved) {
  const Manifest& m = *saved.manifest;
  const RunConfig& config = saved.config;
  const TrainingState state = training_state(m, saved.path.string());
  std::string data;
  for (const DataSource& source : config.data.sources)
    data += fmt::format("{}{}{}", data.empty() ? "" : ", ",
                        std::filesystem::path(source.path).filename().string(),
                        source.weight == 1 ? "" : fmt::format(" (weight {})", source.weight));
  return row("run", config.run.name) + row("data", data) +
         row("tokens", fmt::format("{} ({})", count_text(double(m.tokens)), m.tokens)) +
         row("steps", fmt::format("{} of {} tokens", m.step, config.batch.tokens)) +
         row("peak learning rate", fmt::format("{}", config.optimizer.lr)) +
         row("training loss, recent mean", loss_text(state.loss_mean.value())) +
         row("validation loss here", loss_text(state.validation_loss)) +
         row("best validation loss", loss_text(state.best_loss));
}

constexpr const char* kUse = R"(## Use

```python
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # this one
model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
ids = {0}tokenizer.encode("Once upon a time", add_special_tokens=False)
print(tokenizer.decode(model.generate(torch.tensor([ids]), max_new_tokens=64)[0]))
```

The Python files in this folder are plain PyTorch and run on a CPU or a GPU. {1}
)";

}  // namespace

std::string model_card(const SavedModel& saved) {
  const bool trained = saved.manifest && !saved.config.data.sources.empty();
  const std::string name = trained ? saved.config.run.name : "MatMul-free language model";
  std::string card = fmt::format(
      "---\nlibrary_name: transformers\npipeline_tag: text-generation\n"
      "tags:\n- matmul-free\n- ternary\n- {}\n---\n\n# {}\n\n",
      saved.config.model.type, name);
  card += fmt::format(
      "A MatMul-free language model (arXiv 2406.02528): {}, a gated linear recurrence "
      "instead of attention.\n\n| | |\n|---|---|\n",
      saved.config.model.quantize == Quantize::ternary
          ? "ternary weights, int8 activations"
          : "here the control experiment with real weights");
  card += model_rows(saved);
  if (trained) card += training_rows(saved);
  card += row("written by", version_line());
  if (!saved.tokenizer)
    card += "\nThis folder holds no tokenizer: the model reads and writes token ids.\n";
  else
    card +=
        '\n' +
        fmt::format(kUse, saved.documents.bos ? "[tokenizer.bos_token_id] + " : "",
                    fmt::format("Documents of the training data begin {} the token bos and end {} "
                                "eos; in text, `<s>` and the like are text.",
                                saved.documents.bos ? "with" : "without",
                                saved.documents.eos ? "with" : "without"));
  if (trained)
    card +=
        fmt::format("\n## Configuration\n\n```toml\n{}```\n", values_without_paths(saved.config));
  return card;
}

}  // namespace tern
