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
         (family_of(m.type).attention
              ? row("attention heads, rope_theta", fmt::format("{}, {}", m.heads(), m.rope_theta))
              : "") +
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

// What the family is, and how its folder is used in Python.
struct CardTexts {
  std::string_view name, what, tags;
  bool in_transformers = true;  // computes it
  std::string_view trust;       // argument of from_pretrained
  std::string_view code;        // about the Python files
};

CardTexts texts_of(const ModelConfig& model) {
  const bool ternary = model.quantize == Quantize::ternary,
             rounded = model.attention == AttentionKind::ternary;
  if (model.type == "transformer")
    return {.name = "Transformer++",
            .what = rounded ? "A Transformer with ternary projections and int8 activations (arXiv "
                              "2402.17764), of Llama's shape; queries and keys are rounded to "
                              "ternary, too."
                    : ternary ? "A Transformer with ternary projections and int8 activations "
                                "(arXiv 2402.17764), of Llama's shape; attention is in floating "
                                "point."
                              : "A Transformer of Llama's shape (arXiv 2302.13971).",
            .tags = ternary ? "- ternary\n- llama_bit" : "- llama",
            .in_transformers = !ternary,
            .trust = "",
            .code = ""};
  return {.name = "MatMul-free language model",
          .what = ternary
                      ? "A MatMul-free language model (arXiv 2406.02528): ternary weights, int8 "
                        "activations, a gated linear recurrence instead of attention."
                      : "A MatMul-free language model (arXiv 2406.02528): here the control "
                        "experiment with real weights, a gated linear recurrence instead of "
                        "attention.",
          .tags = "- matmul-free\n- ternary\n- hgrn_bit",
          .trust = ", trust_remote_code=True",
          .code = "The Python files in this folder are plain PyTorch and run on a CPU or a GPU. "};
}

constexpr const char* kUse = R"(## Use

```python
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # this one
model = AutoModelForCausalLM.from_pretrained(folder{2})
tokenizer = AutoTokenizer.from_pretrained(folder{2})
ids = {0}tokenizer.encode("Once upon a time", add_special_tokens=False)
print(tokenizer.decode(model.generate(torch.tensor([ids]), max_new_tokens=64)[0]))
```

{3}{1}
)";

// of a family that transformers does not compute
constexpr const char* kUseTern = R"(## Use

transformers has no such model. `tern generate --checkpoint FOLDER` writes text, and
`tern import` makes a checkpoint. {0}
)";

std::string use_text(const SavedModel& saved) {
  const DocumentLayout& documents = saved.documents;
  const std::string text = fmt::format(
      "Documents of the training data begin {} the token bos and end {} eos; in text, `<s>` and "
      "the like are text.",
      documents.bos ? "with" : "without", documents.eos ? "with" : "without");
  const CardTexts family = texts_of(saved.config.model);
  if (!family.in_transformers) return fmt::format(kUseTern, text);
  return fmt::format(kUse, documents.bos ? "[tokenizer.bos_token_id] + " : "", text, family.trust,
                     family.code);
}

}  // namespace

std::string model_card(const SavedModel& saved) {
  const bool trained = saved.manifest && !saved.config.data.sources.empty();
  const CardTexts family = texts_of(saved.config.model);
  std::string card = fmt::format(
      "---\n{}pipeline_tag: text-generation\ntags:\n{}\n---\n\n# {}\n\n{}\n\n| | |\n|---|---|\n",
      family.in_transformers ? "library_name: transformers\n" : "", family.tags,
      trained ? saved.config.run.name : std::string(family.name), family.what);
  card += model_rows(saved);
  if (trained) card += training_rows(saved);
  card += row("written by", version_line());
  if (!saved.tokenizer)
    card += "\nThis folder holds no tokenizer: the model reads and writes token ids.\n";
  else
    card += '\n' + use_text(saved);
  if (trained)
    card +=
        fmt::format("\n## Configuration\n\n```toml\n{}```\n", values_without_paths(saved.config));
  return card;
}

}  // namespace tern
