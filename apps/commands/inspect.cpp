// tern inspect PATH: the content of a checkpoint, of a run's checkpoints, of a corpus, of a Hugging
// Face folder, of a packed file, of a prompt's state or of an image for the accelerator, and
// whether it is good.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "apps/commands/command_line.h"
#include "apps/console/terminal.h"
#include "apps/rtl/model_image.h"
#include "apps/run/open_model.h"
#include "apps/train/verify_data.h"
#include "core/check.h"
#include "data/checkpoint/checkpoint.h"
#include "data/checkpoint/directory.h"
#include "data/corpus/corpus.h"
#include "rtl/model/assembler.h"
#include "runtime/huggingface.h"
#include "runtime/packed_model.h"
#include "runtime/quantities.h"
#include "runtime/state_file.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

struct InspectOptions {
  fs::path path{};
  bool verify = false, all = false;
};

std::uint64_t total_bytes(const Manifest& manifest) {
  std::uint64_t bytes = 0;
  for (const StoredFile& file : manifest.files) bytes += file.bytes;
  return bytes;
}

void print_facts(const Checkpoint& checkpoint) {
  const Manifest& m = checkpoint.manifest();
  fmt::print("{}\n", checkpoint.path().string());
  fmt::print("  step        {}\n", m.step);
  fmt::print("  tokens      {} ({})\n", count_text(double(m.tokens)), m.tokens);
  fmt::print("  parameters  {} ({})\n", count_text(double(m.parameters)), m.parameters);
  fmt::print("  written by  tern {}, {} process{}\n", printable(m.version), m.world,
             m.world == 1 ? "" : "es");
  fmt::print("  size        {} in {} files, {} tensors\n", bytes_text(double(total_bytes(m))),
             m.files.size(), m.tensors.size());
}

void print_tensor(const StoredTensor& tensor) {
  std::string shape;
  for (const std::uint64_t length : tensor.shape)
    shape += (shape.empty() ? "" : ", ") + std::to_string(length);
  std::string files;
  for (const StoredRows& piece : tensor.pieces)
    if (files.find(piece.file) == files.npos) files += ' ' + piece.file;
  fmt::print("  {:<48} {:<5} {:<20} {:>8} {}\n", printable(tensor.name), name_of(tensor.type),
             "(" + shape + ")", bytes_text(double(tensor.bytes())), files);
}

void print_contents(const Manifest& manifest, bool all) {
  constexpr std::size_t kShown = 12;
  fmt::print("state\n{}\n", printable(manifest.state.dump(2)));
  if (all) {
    const auto& config = manifest.config;
    const bool text = config.is_object() && config.contains("toml") && config["toml"].is_string();
    fmt::print("configuration\n{}\n",
               printable(text ? config["toml"].get<std::string>() : config.dump(2)));
  }
  fmt::print("files\n");
  for (const StoredFile& file : manifest.files)
    fmt::print("  {:<24} {:>8}\n", file.name, bytes_text(double(file.bytes)));
  fmt::print("tensors\n");
  const std::size_t shown = all ? manifest.tensors.size() : kShown;
  for (std::size_t i = 0; i < std::min(shown, manifest.tensors.size()); ++i)
    print_tensor(manifest.tensors[i]);
  if (shown < manifest.tensors.size())
    fmt::print("  and {} more: --all\n", manifest.tensors.size() - shown);
}

void inspect_checkpoint(const InspectOptions& options) {
  const Checkpoint checkpoint = Checkpoint::open(options.path);
  print_facts(checkpoint);
  print_contents(checkpoint.manifest(), options.all);
  if (!options.verify) return;
  const Findings findings = checkpoint.verify();
  for (const std::string& warning : findings.warnings)
    fmt::print("warning: {}\n", printable(warning));
  for (const std::string& problem : findings.problems) fmt::print("BAD: {}\n", printable(problem));
  std::fflush(stdout);
  require(findings.problems.empty(), Fault::input, options.path.string(), ": ",
          findings.problems.size(), " problems, listed above");
  fmt::print("good: every byte matches its hash, every float is finite\n");
}

// One line; the reason if it is bad.
std::string inspect_entry(const fs::path& path, bool verify) {
  try {
    const Checkpoint checkpoint = Checkpoint::open(path);
    const Manifest& m = checkpoint.manifest();
    const Findings findings = verify ? checkpoint.verify() : Findings{};
    require(findings.problems.empty(), Fault::input,
            findings.problems.empty() ? "" : findings.problems[0]);
    fmt::print("{}  {}  {:>8}  {:>6} tokens\n", path.filename().string(),
               verify ? "good    " : "readable", bytes_text(double(total_bytes(m))),
               count_text(double(m.tokens)));
    return {};
  } catch (const Error& e) {
    fmt::print("{}  BAD       {}\n", path.filename().string(), printable(e.what()));
    return e.what();
  }
}

void inspect_directory(const fs::path& directory, bool verify) {
  const auto steps = checkpoint_steps(directory);
  require(!steps.empty(), Fault::input, directory.string(), ": there are no checkpoints in it");
  std::size_t bad = 0;
  for (const std::uint64_t step : steps)
    bad += !inspect_entry(directory / checkpoint_name(step), verify).empty();
  std::fflush(stdout);
  require(bad == 0, Fault::input, directory.string(), ": ", bad, " of ", steps.size(),
          " checkpoints are bad, for the reasons above");
  const std::vector<std::string> aside = set_aside(directory);
  for (const std::string& name : aside)
    fmt::print("{}  set aside: belongs to an abandoned course of the run\n", name);
  if (!verify) fmt::print("sizes and structures were checked; --verify reads every byte\n");
}

void print_split(const CorpusManifest& manifest, Split split, bool all) {
  CorpusShard sum;
  for (const CorpusShard& s : manifest.of(split)) {
    sum.tokens += s.tokens;
    sum.documents += s.documents;
    sum.text_bytes += s.text_bytes;
  }
  if (sum.tokens == 0) return;
  fmt::print("  {:<11} {} tokens, {} documents, {} bytes of text, {} shards\n", name_of(split),
             sum.tokens, sum.documents, sum.text_bytes, manifest.of(split).size());
  for (const CorpusShard& s : manifest.of(split))
    if (all)
      fmt::print("    {:<24} {:>12} tokens {:>10} documents\n", s.file, s.tokens, s.documents);
}

void print_corpus(const fs::path& path, const CorpusManifest& m, bool all) {
  fmt::print("{}\n", path.string());
  fmt::print("  tokenizer   {} pieces, hash {}\n", m.vocab_size, printable(m.tokenizer_hash));
  fmt::print("  token type  {}\n", name_of(m.token_type));
  for (const Split split : kSplits) print_split(m, split, all);
  if (m.skipped_lines > 0) fmt::print("  skipped     {} lines\n", m.skipped_lines);
  fmt::print("made from\n{}\n", printable(m.arguments.dump(2)));
}

void inspect_corpus(const InspectOptions& options) {
  print_corpus(options.path, read_corpus_manifest(options.path), options.all);
  std::fflush(stdout);
  const std::vector<std::string> problems = verify_with_progress(options.path, options.verify);
  Terminal(2).clear_status();
  for (const std::string& problem : problems) fmt::print("BAD: {}\n", printable(problem));
  std::fflush(stdout);
  require(problems.empty(), Fault::input, options.path.string(), ": ", problems.size(),
          " problems, listed above");
  fmt::print("{}\n", options.verify
                         ? "good: every byte matches its hash"
                         : "sizes and structures were checked; --verify reads every byte");
}

void print_model(const SavedModel& saved, const Model& model) {
  const ModelConfig& m = saved.config.model;
  fmt::print("{}\n", saved.path.string());
  fmt::print("  model       {}, D {}, L {}, H {}, V {}\n", m.type, m.width, m.layers, m.glu_width(),
             m.vocab_size);
  const std::int64_t parameters = model.count().total();
  fmt::print("  parameters  {} ({})\n", count_text(double(parameters)), parameters);
  fmt::print("  tokenizer   {}\n",
             saved.tokenizer ? fmt::format("{} pieces, hash {}", saved.tokenizer->vocab_size(),
                                           saved.tokenizer->hash())
                             : "none");
}

void inspect_folder(const InspectOptions& options) {
  const SavedModel saved = open_model(options.path);
  const Model model(saved.config.model, {});
  print_model(saved, model);
  if (options.all)
    for (const Parameter* p : model.parameters())
      print_tensor({.name = p->name,
                    .type = saved.weights.find(p->name)->type,
                    .shape = stored_shape(p->shape),
                    .pieces = {}});
  if (options.verify) require_finite(saved.weights, model);
  fmt::print("{}\n", options.verify ? "good: every weight is there and finite"
                                    : "every weight is there; --verify reads them");
}

std::string size_text(const SafetensorsFile& file) {
  std::uint64_t bytes = file.header_bytes();
  for (const auto& [name, e] : file.entries()) bytes += e.bytes;
  return fmt::format("{} in {} tensors", bytes_text(double(bytes)), file.entries().size());
}

void print_entries(const SafetensorsFile& file) {
  for (const auto& [name, e] : file.entries())
    print_tensor(
        {.name = name, .type = e.type, .shape = {e.shape.begin(), e.shape.end()}, .pieces = {}});
}

void inspect_packed(const InspectOptions& options) {
  const SavedModel saved = open_packed(options.path);
  const Model model(saved.config.model, {});
  print_model(saved, model);
  const SafetensorsFile file = SafetensorsFile::open(options.path);
  for (const auto& [key, name] : {std::pair("step", "step"), std::pair("tokens", "tokens"),
                                  std::pair("written_by", "written by")})
    if (const auto at = file.metadata().find(key); at != file.metadata().end())
      fmt::print("  {:<11} {}\n", name, printable(at->second));
  std::uint64_t codes = 0;
  for (const Parameter* p : model.parameters())
    if (p->ternary) codes += file.entry(p->name).bytes;
  fmt::print("  size        {}, {} of them codes at 2 bits\n", size_text(file),
             bytes_text(double(codes)));
  if (options.all) print_entries(file);
  fmt::print("good: every byte matches its hash, every code and number is one\n");
}

void inspect_image(const InspectOptions& options) {
  const ModelImage model = open_image(options.path);
  const rtl::ImageHeader& header = model.image.header();
  const auto& [D, H, L, V, bits, fraction, bound] = header.sizes;
  fmt::print("{}\n", options.path.string());
  fmt::print("  model       {}, D {}, L {}, H {}, V {}\n", model.config.type, D, L, H, V);
  fmt::print("  tokenizer   {}\n",
             model.tokenizer ? fmt::format("{} pieces, hash {}", model.tokenizer->vocab_size(),
                                           model.tokenizer->hash())
                             : "none");
  fmt::print("  accelerator a port of {} bits, {} x {} weights a beat, residual stream Q.{}\n",
             bits, header.rows, header.columns, fraction);
  fmt::print("  program     {} words\n", header.words);
  fmt::print("  size        {}\n", bytes_text(double(header.bytes)));
  if (options.all) fmt::print("{}", rtl::disassemble(model.image.program()));
  fmt::print("good: every byte matches its hash, every code and instruction is one\n");
}

void inspect_state(const InspectOptions& options) {
  const StateFile state = StateFile::open(options.path);
  fmt::print("{}\n", options.path.string());
  fmt::print("  state of    model {}, tokenizer {}\n", printable(state.model()),
             printable(state.tokenizer()));
  fmt::print("  positions   {}, then token {}, not read yet\n", state.positions(), state.unread());
  fmt::print("  drawn       {} tokens\n", state.drawn());
  fmt::print("  size        {}\n", size_text(state.file()));
  if (options.all) print_entries(state.file());
  fmt::print("good: every byte matches its hash\n");
}

void inspect(const InspectOptions& options) {
  require(path_exists(options.path), Fault::input, options.path.string(), ": does not exist");
  if (is_packed_model(options.path)) return inspect_packed(options);
  if (is_state_file(options.path)) return inspect_state(options);
  if (is_model_image(options.path)) return inspect_image(options);
  if (is_huggingface_folder(options.path)) return inspect_folder(options);
  if (is_corpus(options.path)) return inspect_corpus(options);
  const fs::path inside = options.path / "checkpoints";
  std::error_code error;
  if (fs::is_directory(inside, error)) return inspect_directory(inside, options.verify);
  if (!checkpoint_steps(options.path).empty())
    return inspect_directory(options.path, options.verify);
  inspect_checkpoint(options);
}

}  // namespace

void add_inspect(CLI::App& tern) {
  CLI::App& command = *tern.add_subcommand(
      "inspect",
      "Show and verify checkpoints, corpora, Hugging Face folders, packed files, images for the "
      "accelerator and saved states.");
  const auto options = std::make_shared<InspectOptions>();
  command
      .add_option("PATH", options->path,
                  "a checkpoint, a run directory, a corpus of tern prepare, a Hugging Face folder, "
                  "a packed file, an image for the accelerator, or a state of tern generate")
      ->transform(path_argument())
      ->required();
  command.add_flag("--verify", options->verify,
                   "read everything: hashes; in models NaN and infinity");
  command.add_flag("--all", options->all,
                   "all tensors, and the configuration; all shards; an image's program");
  command.callback([options] { inspect(*options); });
}

}  // namespace tern
