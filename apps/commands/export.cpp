// tern export: a model in the files that other programs read.
#include <fmt/format.h>

#include "apps/commands/command_line.h"
#include "apps/commands/input_options.h"
#include "apps/export/model_card.h"
#include "apps/run/open_model.h"
#include "runtime/huggingface.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

struct ExportOptions {
  std::string checkpoint, to, out, dtype = "f32";
};

void export_model(const ExportOptions& o) {
  const SavedModel saved = open_model(o.checkpoint);
  const HuggingFaceExport options{.type = o.dtype == "bf16" ? StoredType::bf16 : StoredType::f32,
                                  .card = model_card(saved),
                                  .notice = warn};
  const std::uint64_t bytes = export_huggingface(saved, o.out, options);
  if (saved.config.dtype == Precision::f64)
    fmt::print("the checkpoint holds f64: written as {}\n", o.dtype);
  fmt::print("{}: {} of weights in {}{}\n", o.out, bytes_text(double(bytes)), o.dtype,
             saved.tokenizer ? "" : ", without a tokenizer: the model has none");
}

}  // namespace

void add_export(CLI::App& tern) {
  CLI::App& command = *tern.add_subcommand("export", "Write a trained model for other programs.");
  const auto o = std::make_shared<ExportOptions>();
  command.add_option("--checkpoint", o->checkpoint, kModelArgument)
      ->transform(path_argument())
      ->required();
  command.add_option("--to", o->to, "hf: a folder for Hugging Face transformers")
      ->required()
      ->check(CLI::IsMember({"hf"}));
  command.add_option("--out", o->out, "a new folder, or an earlier export, which it replaces")
      ->transform(path_argument())
      ->required();
  command.add_option("--dtype", o->dtype, "of the weights")
      ->capture_default_str()
      ->check(CLI::IsMember({"f32", "bf16"}));
  command.callback([o] { export_model(*o); });
}

}  // namespace tern
