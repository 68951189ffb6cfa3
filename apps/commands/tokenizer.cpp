// tern tokenizer train: a SentencePiece byte-pair tokenizer that keeps every text exactly.
#include "data/tokenizer/tokenizer.h"

#include <cstdio>

#include "apps/commands/command_line.h"
#include "apps/commands/input_options.h"
#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

struct TokenizerOptions {
  InputOptions sources;
  TokenizerTraining training;
  std::string out;
};

// Makes the folder of the file; Error(Fault::disk) before the training, not after it.
void check_can_write(const fs::path& file) {
  const fs::path folder = fs::absolute(file).parent_path();
  std::error_code error;
  fs::create_directories(folder, error);
  require(!error, Fault::disk, folder.string(), ": cannot make this folder: ", error.message());
  require(!fs::is_directory(file, error), Fault::usage, "--out: expected a file, got the folder ",
          file.string());
  require_replaceable(file);
}

void train(TokenizerOptions& o) {
  check_can_write(o.out);
  const auto sources = list_inputs(o.sources.inputs, o.sources.forced_format(), warn);
  o.training.rules = o.sources.rules;
  o.training.notice = warn;
  const std::string model = train_tokenizer(sources, o.training);
  const Tokenizer tokenizer = Tokenizer::parse(model, o.out);
  write_file_atomically(o.out, model);
  std::printf("%s: %d pieces, hash %s\n", o.out.c_str(), tokenizer.vocab_size(),
              tokenizer.hash().c_str());
}

}  // namespace

void add_tokenizer(CLI::App& tern) {
  CLI::App& tokenizer = *tern.add_subcommand("tokenizer", "Make tokenizers.");
  tokenizer.require_subcommand(1);
  CLI::App& command = *tokenizer.add_subcommand(
      "train",
      "Learn a byte-pair tokenizer (SentencePiece) from text; it encodes every text without loss.");
  const auto options = std::make_shared<TokenizerOptions>();
  add_input_options(command, options->sources);
  command
      .add_option("--vocab-size", options->training.vocab_size,
                  "pieces in all, 259 of them for unk, bos, eos and bytes")
      ->required()
      ->check(CLI::Range(260, 1'000'000));
  command.add_option("--out", options->out, "the model file to write")
      ->transform(path_argument())
      ->required();
  command
      .add_option("--max-bytes", options->training.max_bytes,
                  "if the text is larger, learn from a random sample of this size")
      ->capture_default_str()
      ->check(CLI::Range(std::uint64_t(1), std::uint64_t(4) << 30));
  command
      .add_option("--character-coverage", options->training.character_coverage,
                  "share of the text whose characters get a piece; other characters are encoded as "
                  "bytes; 0: 0.9995, or less if the vocabulary is too small for it")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  command
      .add_option("--max-bad", options->training.max_bad,
                  "maximum number of JSON lines to skip because they hold no text")
      ->capture_default_str();
  command.callback([options] { train(*options); });
}

}  // namespace tern
