// tern trace: every intermediate of one forward pass as .npy files.
#include "apps/trace/trace.h"

#include <charconv>
#include <cstdio>

#include "apps/commands/command_line.h"
#include "apps/golden/golden.h"
#include "apps/run/open_model.h"
#include "core/backend.h"
#include "runtime/memory_plan.h"
#include "runtime/quantities.h"
#include "runtime/text_generator.h"

namespace tern {
namespace {

struct TraceOptions {
  std::string checkpoint, golden, text, ids, out;
  std::vector<std::int32_t> tokens{};  // the numbers of ids
};

struct Tokens {
  Shape shape;  // (B, T)
  std::vector<std::int32_t> ids;
};

std::vector<std::int32_t> parse_ids(const std::string& text) {
  std::vector<std::int32_t> ids;
  const char *at = text.data(), *end = at + text.size();
  for (bool more = true; more;) {
    std::int32_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    more = next != end && *next == ',';
    require(error == std::errc{} && (more || next == end), Fault::usage,
            "--tokens: expected ids as 1,15,7, got '", text, "'");
    ids.push_back(id);
    at = next + 1;
  }
  return ids;
}

void check_ids(const Tokens& tokens, std::int64_t vocabulary) {
  for (const std::int32_t id : tokens.ids)
    require(id >= 0 && id < vocabulary, Fault::usage, "--tokens: expected ids from 0 to ",
            vocabulary - 1, ", got ", id);
}

void write(Model& model, const Tokens& tokens, const std::string& to) {
  ArrayDirectory out(to);
  trace(model, tokens.shape, tokens.ids, out);
  std::printf("%s: %zu arrays, %s; index.json describes them\n", to.c_str(), out.arrays(),
              bytes_text(double(out.bytes())).c_str());
}

void run_once(Model& model, const Tokens& tokens) {
  model.logits({}, upload_ids(model.backend(), tokens.shape, tokens.ids));
}

void trace_golden(const TraceOptions& o) {
  const SafetensorsFile file = SafetensorsFile::open(o.golden);
  const ModelConfig config = golden_config(file);
  Tokens tokens{.shape = {1, Index(o.tokens.size())}, .ids = o.tokens};
  if (o.tokens.empty()) tokens = {.shape = golden_shape(file), .ids = file.read_i32("input_ids")};
  check_ids(tokens, config.vocab_size);
  Model model(config, {.dtype = DType::f64});
  const auto with_weights = [&](Backend& on, const std::function<void()>& use) {
    InferenceWeights weights(on, model.parameters(), DType::f64);
    for (Parameter* p : weights.parameters())
      weights.set(
          *p, [&](const Tensor& to) { upload_real(to, golden_values(file, "param.", model, *p)); });
    use();
  };
  const auto backend = make_backend(
      Device("cpu"), [&](Backend& dry) { with_weights(dry, [&] { run_once(model, tokens); }); });
  with_weights(*backend, [&] { write(model, tokens, o.out); });
}

void trace_checkpoint(const TraceOptions& o) {
  require(!o.tokens.empty() || !o.text.empty(), Fault::usage,
          "--checkpoint: expected --text or --tokens with it");
  const SavedModel saved = open_model(o.checkpoint);
  const std::vector<std::int32_t> ids =
      o.tokens.empty() ? prompt_ids(require_tokenizer(saved), saved.documents, o.text) : o.tokens;
  const Tokens tokens{.shape = {1, Index(ids.size())}, .ids = ids};
  check_ids(tokens, saved.config.model.vocab_size);
  const LoadedModel loaded =
      load_model(saved, Device("cpu"), [&](Model& model) { run_once(model, tokens); });
  write(*loaded.model, tokens, o.out);
}

}  // namespace

void add_trace(CLI::App& tern) {
  CLI::App& command =
      *tern.add_subcommand("trace", "Write every intermediate of one forward pass as .npy files.");
  const auto o = std::make_shared<TraceOptions>();
  CLI::Option_group& model = *command.add_option_group("model");
  model.add_option("--checkpoint", o->checkpoint, kModelArgument)->transform(path_argument());
  model.add_option("--golden", o->golden, "a golden .safetensors file; computes in f64")
      ->transform(path_argument());
  model.require_option(1);
  CLI::Option_group& input = *command.add_option_group("input");
  input.add_option("--tokens", o->ids, "ids, as 1,15,7 (default: the golden file's)");
  input.add_option("--text", o->text,
                   "encoded by the checkpoint's tokenizer, after bos if its data has it");
  input.require_option(0, 1);
  command.add_option("--out", o->out, "a new directory")->transform(path_argument())->required();
  command.callback([o, given = input.get_option("--tokens")] {
    if (given->count()) o->tokens = parse_ids(o->ids);
    require(o->golden.empty() || o->text.empty(), Fault::usage,
            "--text: a golden file has no tokenizer, expected --tokens");
    o->golden.empty() ? trace_checkpoint(*o) : trace_golden(*o);
  });
}

}  // namespace tern
