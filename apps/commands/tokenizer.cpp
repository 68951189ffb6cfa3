// tern tokenizer train: a SentencePiece byte-pair tokenizer that keeps every text exactly.
// tern tokenizer encode, decode, export: ids of a text and back, files for other programs.
#include <cctype>
#include <charconv>
#include <cstdio>

#include "apps/commands/command_line.h"
#include "apps/commands/input_options.h"
#include "apps/console/standard_streams.h"
#include "core/check.h"
#include "data/io/files.h"
#include "data/tokenizer/huggingface_files.h"

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

struct UseOptions {
  std::string tokenizer, input = "-", out;
};

constexpr std::uint64_t kMaxInputBytes = std::uint64_t(1) << 30;

void encode(const UseOptions& o) {
  const Tokenizer tokenizer = Tokenizer::load(o.tokenizer);
  std::string line;
  for (const std::int32_t id : tokenizer.encode(read_input(o.input, kMaxInputBytes))) {
    if (!line.empty()) line += ' ';
    line += std::to_string(id);
  }
  write_output(line + '\n');
}

void decode(const UseOptions& o) {
  const Tokenizer tokenizer = Tokenizer::load(o.tokenizer);
  const std::string text = read_input(o.input, kMaxInputBytes);
  std::vector<std::int32_t> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    if (std::isspace(std::uint8_t(*at))) {
      ++at;
      continue;
    }
    std::int32_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    require(error == std::errc() && (next == end || std::isspace(std::uint8_t(*next))),
            Fault::input, o.input, ": byte ", at - text.data(),
            ": expected token ids with spaces between them");
    ids.push_back(id);
    at = next;
  }
  write_output(tokenizer.decode(ids));
}

void export_files(const UseOptions& o) {
  const Tokenizer tokenizer = Tokenizer::load(o.tokenizer);
  const auto files = huggingface_tokenizer_files(tokenizer, warn);
  for (const std::string_view name : {kModelFileName, kJsonFileName, kTokenizerConfigName})
    require(!path_exists(fs::path(o.out) / name, Fault::disk), Fault::usage,
            (fs::path(o.out) / name).string(),
            ": is there already, and must not be mixed with others: choose a new folder");
  make_directories(o.out);
  for (const auto& [name, content] : files) {
    write_file_atomically(fs::path(o.out) / name, content);
    std::printf("%s\n", (fs::path(o.out) / name).c_str());
  }
}

CLI::App& add_use(CLI::App& tokenizer, const char* name, const char* help,
                  const std::shared_ptr<UseOptions>& options, void (*use)(const UseOptions&)) {
  CLI::App& command = *tokenizer.add_subcommand(name, help);
  command
      .add_option("--tokenizer", options->tokenizer,
                  "a SentencePiece .model, a tokenizer.json, or a folder with one")
      ->transform(path_argument())
      ->required();
  command.callback([options, use] { use(*options); });
  return command;
}

void add_uses(CLI::App& tokenizer) {
  const auto options = [] { return std::make_shared<UseOptions>(); };
  const auto text = options(), ids = options(), files = options();
  add_use(tokenizer, "encode", "Print the token ids of a text, without bos and eos, on one line.",
          text, encode)
      .add_option("--input", text->input, "the file with the text; -: standard input")
      ->transform(path_argument())
      ->capture_default_str();
  add_use(tokenizer, "decode", "Print the text of token ids.", ids, decode)
      .add_option("--input", ids->input,
                  "the file with the ids, spaces or newlines between them; -: standard input")
      ->transform(path_argument())
      ->capture_default_str();
  add_use(tokenizer, "export", "Write the files by which Hugging Face's programs use a tokenizer.",
          files, export_files)
      .add_option("--out", files->out, "the folder to write to")
      ->transform(path_argument())
      ->required();
}

}  // namespace

void add_tokenizer(CLI::App& tern) {
  CLI::App& tokenizer = *tern.add_subcommand("tokenizer", "Make and use tokenizers.");
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
  add_uses(tokenizer);
}

}  // namespace tern
