// tern import: a Hugging Face folder becomes a checkpoint.
#include <fmt/format.h>

#include "apps/commands/command_line.h"
#include "apps/run/open_model.h"
#include "apps/system/environment.h"
#include "runtime/huggingface.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

struct ImportOptions {
  std::string from, out;
};

void import(const ImportOptions& o) {
  require(is_huggingface_folder(o.from), Fault::input, o.from,
          ": expected a Hugging Face folder, with config.json in it");
  const SavedModel saved = open_model(o.from);
  import_model(saved, o.out, std::string(version()));
  const ParameterCount count = count_parameters(saved.config.model);
  fmt::print("{}: {} parameters, {}\n", o.out, count_text(double(count.total())),
             saved.tokenizer ? "with its tokenizer" : "without a tokenizer: the folder has none");
}

}  // namespace

void add_import(CLI::App& tern) {
  CLI::App& command = *tern.add_subcommand("import", "Make a checkpoint of a Hugging Face folder.");
  const auto o = std::make_shared<ImportOptions>();
  command.add_option("--from", o->from, "folder with config.json and .safetensors files")
      ->transform(path_argument())
      ->required();
  command
      .add_option("--out", o->out,
                  "the checkpoint: a new directory, or an earlier import, which it replaces")
      ->transform(path_argument())
      ->required();
  command.callback([o] { import(*o); });
}

}  // namespace tern
