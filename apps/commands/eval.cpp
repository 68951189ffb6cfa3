// tern eval: loss, perplexity and bits per byte of a checkpoint on a prepared corpus.
#include <fmt/format.h>

#include <cmath>

#include "apps/commands/command_line.h"
#include "apps/run/open_model.h"
#include "runtime/trainer.h"
#include "runtime/training_data.h"

namespace tern {
namespace {

struct EvalOptions {
  std::string checkpoint, data, device = "cpu";
  bool train_split = false;
};

std::string ends_text(const DocumentLayout& layout) {
  if (layout.bos) return layout.eos ? "bos and eos" : "bos and no eos";
  return layout.eos ? "eos and no bos" : "neither bos nor eos";
}

void eval(const EvalOptions& options) {
  const auto corpus =
      std::make_shared<Corpus>(options.train_split ? Corpus::open(options.data, Split::train)
                                                   : Corpus::open_held_out(options.data));
  SavedModel saved = open_model(options.checkpoint);
  const Tokenizer of_data = corpus->tokenizer();
  if (!saved.tokenizer) set_tokenizer(saved, of_data);
  const Tokenizer& tokenizer = *saved.tokenizer;
  const Index context = saved.config.batch.context;
  const Index sequences = std::max<Index>(1, 4096 / context);
  LoadedModel loaded = load_model(saved, Device(options.device), [&](Model& model) {
    const std::vector<std::int32_t> ids(std::size_t(sequences * context), 0);
    evaluate(model, {ids, ids}, context);
  });
  require(of_data.hash() == tokenizer.hash(), Fault::input, options.data,
          ": expected data of the model's tokenizer (", tokenizer.hash(), "), got ",
          of_data.hash());
  const DocumentLayout here = corpus->layout(), there = saved.documents;
  if (here.bos != there.bos || here.eos != there.eos)
    fmt::print(stderr,
               "tern: warning: {}: documents have {}, those that the model was trained on {}\n",
               options.data, ends_text(here), ends_text(there));
  SequentialPass pass(token_source(corpus, options.data, 1), std::uint64_t(context),
                      std::uint64_t(sequences));
  LossSum sum;
  const TextBytes bytes(*corpus);
  while (const auto batch = pass.next()) {
    sum += evaluate(*loaded.model, *batch, context);
    sum.bytes += bytes.of(*batch);
  }
  const double loss = sum.loss / double(sum.targets);
  fmt::print("checkpoint      {}\ndata            {} ({})\ntokens          {}\n",
             saved.path.string(), options.data, name_of(corpus->split()), sum.targets);
  fmt::print("loss            {:.4f} nats per token\nperplexity      {:.2f}\n", loss,
             std::exp(loss));
  if (sum.bytes > 0)
    fmt::print("bits per byte   {:.4f} ({} bytes of text{})\n",
               sum.loss / std::log(2.0) / double(sum.bytes), sum.bytes,
               tokenizer.lossless() ? "" : " as the tokenizer rewrote it");
}

}  // namespace

void add_eval(CLI::App& tern) {
  CLI::App& command =
      *tern.add_subcommand("eval", "Loss, perplexity and bits per byte on prepared text.");
  const auto o = std::make_shared<EvalOptions>();
  command.add_option("--checkpoint", o->checkpoint, kModelArgument)
      ->transform(path_argument())
      ->required();
  command.add_option("--data", o->data, "folder that tern prepare wrote")
      ->transform(path_argument())
      ->required();
  command.add_flag("--train-split", o->train_split,
                   "the training part of the folder, not the part set aside for validation");
  command.add_option("--device", o->device, "cpu, cuda or cuda:N")->capture_default_str();
  command.callback([o] { eval(*o); });
}

}  // namespace tern
