// tern ngram: the loss of n-gram models on a corpus.
#include "data/corpus/ngram.h"

#include <cstdio>

#include "apps/commands/command_line.h"

namespace tern {
namespace {

struct NgramOptions {
  std::string data;
  int highest = 5;
  std::uint64_t max_tokens = 50'000'000;
};

void print_baselines(const NgramOptions& o) {
  const Corpus train = Corpus::open(o.data, Split::train);
  const Corpus validation = Corpus::open(o.data, Split::validation);
  const NgramBaselines b = ngram_baselines(train, validation, o.highest, o.max_tokens);
  std::printf("%s: interpolated Kneser-Ney, discount 0.75\n", o.data.c_str());
  std::printf("trained on %llu tokens (%llu bytes)%s, scored on %llu tokens (%llu bytes)\n",
              (unsigned long long)b.training_tokens, (unsigned long long)b.training_bytes,
              b.training_tokens < train.token_count() ? ", the first of the train split" : "",
              (unsigned long long)b.scored_tokens, (unsigned long long)b.scored_bytes);
  std::printf("\norder  tokens, bit/byte  bytes, bit/byte\n");
  for (std::size_t n = 0; n < b.token_models.size(); ++n)
    std::printf("%5zu  %16.3f  %15.3f\n", n + 1, b.token_models[n], b.byte_models[n]);
}

}  // namespace

void add_ngram(CLI::App& tern) {
  CLI::App& command = *tern.add_subcommand(
      "ngram", "Bits per byte that n-gram models reach on the validation split of a corpus.");
  const auto options = std::make_shared<NgramOptions>();
  command.add_option("--data", options->data, "a corpus with a validation split")
      ->transform(path_argument())
      ->required();
  command.add_option("--max-order", options->highest, "highest order")
      ->capture_default_str()
      ->check(CLI::Range(1, 8));
  command
      .add_option("--max-tokens", options->max_tokens,
                  "train on at most this many tokens (60 bytes of memory per distinct n-gram)")
      ->capture_default_str();
  command.callback([options] { print_baselines(*options); });
}

}  // namespace tern
