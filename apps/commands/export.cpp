// tern export: a model in the files that other programs read.
#include <fmt/format.h>

#include "apps/commands/command_line.h"
#include "apps/commands/input_options.h"
#include "apps/export/model_card.h"
#include "apps/rtl/model_image.h"
#include "apps/run/open_model.h"
#include "apps/system/environment.h"
#include "runtime/huggingface.h"
#include "runtime/packed_model.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

struct ExportOptions {
  std::string checkpoint, to, out, dtype = "f32", embedding = "bf16";
  std::uint32_t width = 512;
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

void export_accelerator(const SavedModel& saved, const ExportOptions& o) {
  const std::uint64_t bytes = export_image(saved, o.out, o.width);
  fmt::print("{}: {}, the accelerator's memory for a port of {} bits{}\n", o.out,
             bytes_text(double(bytes)), o.width, tokenizer_text(saved));
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
                  "run only; rtl: the memory of the accelerator")
      ->required()
      ->check(CLI::IsMember({"hf", "packed", "rtl"}));
  command
      .add_option("--out", o->out,
                  "a new folder, for packed a new NAME.safetensors, for rtl a new file; or an "
                  "earlier export, which it replaces")
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
  const CLI::Option* width =
      command.add_option("--width", o->width, "with rtl: bits of the accelerator's memory port")
          ->capture_default_str()
          ->check(CLI::IsMember({8, 64, 128, 256, 512}));
  command.callback([o, dtype, embedding, width] {
    const auto goes_with = [&](const CLI::Option* option, const char* name, const char* to) {
      require(o->to == to || !option->count(), Fault::usage, name, ": goes with --to ", to,
              " only");
    };
    goes_with(dtype, "--dtype", "hf");
    goes_with(embedding, "--embedding", "packed");
    goes_with(width, "--width", "rtl");
    const SavedModel saved = open_model(o->checkpoint);
    if (o->to == "hf") export_folder(saved, *o);
    if (o->to == "packed") export_file(saved, *o);
    if (o->to == "rtl") export_accelerator(saved, *o);
  });
}

}  // namespace tern
