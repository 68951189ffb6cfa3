// tern prepare: texts in, a tokenized corpus out.
#include "data/corpus/prepare.h"

#include <cstdio>
#include <thread>

#include "apps/commands/command_line.h"
#include "apps/commands/input_options.h"
#include "apps/console/progress_line.h"
#include "core/clock.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

// The text of the progress line.
class PrepareLine {
 public:
  void operator()(const PrepareProgress& p) {
    if (!first_) first_ = p;
    line_.show([&](double seconds) { return text(p, seconds); });
  }
  void clear() { line_.clear(); }

 private:
  std::string text(const PrepareProgress& p, double seconds) const {
    const double rate = double(p.text_bytes - first_->text_bytes) / seconds;
    const double read = double(p.consumed - first_->consumed);
    std::string line = "prepare";
    if (p.total > 0) line += "  " + share_text(double(p.consumed) / double(p.total));
    line += "  " + bytes_text(double(p.text_bytes)) + " of text  " + count_text(double(p.tokens)) +
            " tokens  " + count_text(double(p.documents)) + " documents  " + bytes_text(rate) +
            "/s";
    if (p.total > 0 && read > 0)
      line += "  eta " + duration_text(seconds * double(p.total - p.consumed) / read);
    if (p.skipped_lines > 0) line += "  " + count_text(double(p.skipped_lines)) + " bad lines";
    return line;
  }

  ProgressLine line_;
  std::optional<PrepareProgress> first_;  // where this run, perhaps a resumed one, began
};

void print_split(const CorpusManifest& manifest, Split split) {
  double tokens = 0, documents = 0, bytes = 0;
  for (const CorpusShard& s : manifest.of(split)) {
    tokens += double(s.tokens);
    documents += double(s.documents);
    bytes += double(s.text_bytes);
  }
  if (tokens == 0) return;
  std::printf(
      "  %-10s  %.0f tokens, %.0f documents, %.0f bytes of text (%.2f per token), %zu shards\n",
      name_of(split).data(), tokens, documents, bytes, bytes / tokens, manifest.of(split).size());
}

void prepare(const PrepareOptions& options) {
  PrepareLine line;
  const double begin = monotonic_seconds();
  const PrepareResult result = prepare_corpus(options, std::ref(line));
  line.clear();
  for (const std::string& problem : result.problems)
    std::fprintf(stderr, "warning: skipped %s\n", problem.c_str());
  if (result.manifest.skipped_lines > result.problems.size())
    std::fprintf(stderr, "warning: %llu lines skipped in all\n",
                 (unsigned long long)result.manifest.skipped_lines);
  const std::string how = result.was_finished
                              ? "already prepared, nothing to do"
                              : (result.resumed ? "continued and finished in " : "prepared in ") +
                                    duration_text(monotonic_seconds() - begin);
  std::printf("%s: %s\n", options.out.c_str(), how.c_str());
  for (const Split split : kSplits) print_split(result.manifest, split);
}

}  // namespace

void add_prepare(CLI::App& tern) {
  CLI::App& command = *tern.add_subcommand("prepare",
                                           "Tokenize texts into a corpus for training. After an "
                                           "interruption, run the same command again to resume.");
  struct Arguments {
    InputOptions sources;
    PrepareOptions options;
    bool no_bos = false, no_eos = false;
  };
  const auto a = std::make_shared<Arguments>();
  PrepareOptions& o = a->options;
  o.threads = int(std::max(1u, std::thread::hardware_concurrency()));
  add_input_options(command, a->sources);
  command
      .add_option("--tokenizer", o.tokenizer,
                  "a SentencePiece .model, a tokenizer.json, or a folder with one")
      ->transform(path_argument())
      ->required();
  command.add_option("--out", o.out, "the directory to create")
      ->transform(path_argument())
      ->required();
  command
      .add_option("--validation", o.validation,
                  "fraction kept for validation: whole documents, or the end of each text if there "
                  "are few")
      ->capture_default_str();
  command
      .add_option("--max-bad", o.max_bad,
                  "maximum number of JSON lines to skip because they are not JSON or hold no text")
      ->capture_default_str();
  command.add_option("--threads", o.threads, "number of threads; does not change the result")
      ->capture_default_str();
  command.add_option("--shard-tokens", o.shard_tokens, "end a shard once it has this many tokens")
      ->capture_default_str();
  command.add_flag("--no-bos", a->no_bos, "no token for the beginning of each document");
  command.add_flag("--no-eos", a->no_eos, "no token for the end of each document");
  command.callback([a] {
    a->options.inputs = a->sources.inputs;
    a->options.format = a->sources.forced_format();
    a->options.rules = a->sources.rules;
    a->options.notice = warn;
    a->options.layout = {.bos = !a->no_bos, .eos = !a->no_eos};
    prepare(a->options);
  });
}

}  // namespace tern
