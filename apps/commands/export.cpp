// tern export: a model in the files that other programs read.
#include <fmt/format.h>

#include "apps/commands/command_line.h"
#include "apps/commands/input_options.h"
#include "apps/export/model_card.h"
#include "apps/run/open_model.h"
#include "apps/system/environment.h"
#include "runtime/huggingface.h"
#include "runtime/packed_model.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

struct ExportOptions {
  std::string checkpoint, to, out, dtype = "f32", embedding = "bf16";
};

std::string tokenizer_text(const SavedModel& saved) {
  return saved.tokenizer ? "" : ", without a tokenizer: the model has none";
}

void export_folder(const SavedModel& saved, const ExportOptions& o) {
  const HuggingFaceExport options{.type = o.dtype == "bf16" ? StoredType::bf16 : StoredType::f32,
                                  .card = model_card(saved),
                                  .notice = warn};
  const std::uint64_t bytes = export_huggingface(saved, o.out, options);
  if (saved.config.dtype == Precision::f64)
    fmt::print("the checkpoint holds f64: written as {}\n", o.dtype);
  fmt::print("{}: {} of weights in {}{}\n", o.out, bytes_text(double(bytes)), o.dtype,
             tokenizer_text(saved));
}

void export_file(const SavedModel& saved, const ExportOptions& o) {
  const PackedExport options{.embedding = o.embedding == "int8"   ? StoredType::i8
                                          : o.embedding == "bf16" ? StoredType::bf16
                                                                  : StoredType::f32,
                             .version = std::string(version())};
  const std::uint64_t bytes = export_packed(saved, o.out, options);
  if (saved.config.dtype == Precision::f64)
    fmt::print("the checkpoint holds f64: scales and norms are rounded to f32\n");
  fmt::print("{}: {}, matrices at 2 bits, embedding in {}{}\n", o.out, bytes_text(double(bytes)),
             o.embedding, tokenizer_text(saved));
}

}  // namespace

void add_export(CLI::App& tern) {
  CLI::App& command = *tern.add_subcommand("export", "Write a trained model for other programs.");
  const auto o = std::make_shared<ExportOptions>();
  command.add_option("--checkpoint", o->checkpoint, kModelArgument)
      ->transform(path_argument())
      ->required();
  command
      .add_option("--to", o->to,
                  "hf: a folder for Hugging Face transformers; packed: one file of 2-bit codes, to "
                  "run only")
      ->required()
      ->check(CLI::IsMember({"hf", "packed"}));
  command
      .add_option("--out", o->out,
                  "a new folder, or for packed a new NAME.safetensors; or an earlier export, which "
                  "it replaces")
      ->transform(path_argument())
      ->required();
  const CLI::Option* dtype = command.add_option("--dtype", o->dtype, "with hf: of the weights")
                                 ->capture_default_str()
                                 ->check(CLI::IsMember({"f32", "bf16"}));
  const CLI::Option* embedding =
      command
          .add_option("--embedding", o->embedding,
                      "with packed: of the embedding; int8 has a scale for each row")
          ->capture_default_str()
          ->check(CLI::IsMember({"f32", "bf16", "int8"}));
  command.callback([o, dtype, embedding] {
    const bool packed = o->to == "packed";
    require(!packed || !dtype->count(), Fault::usage, "--dtype: goes with --to hf only");
    require(packed || !embedding->count(), Fault::usage, "--embedding: goes with --to packed only");
    const SavedModel saved = open_model(o->checkpoint);
    packed ? export_file(saved, *o) : export_folder(saved, *o);
  });
}

}  // namespace tern
