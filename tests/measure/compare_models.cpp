// What packing changes on a text: the loss and the likeliest tokens of packed files beside those of
// the checkpoint that they were made of, as training computes it; and of each model read token by
// token. For the table in docs/packed_format.md.
//   compare_models CHECKPOINT DATA PACKED...
#include <cstdio>

#include "apps/run/open_model.h"
#include "tests/apps/model_comparison.h"

namespace tern::test {
namespace {

void print(const std::string& name, const TextScores& scores, const TextScores& reference) {
  std::printf("%-40s %.6f %+.6f %8lld of %zu\n", name.c_str(), scores.mean_loss(),
              scores.mean_loss() - reference.mean_loss(),
              static_cast<long long>(flips(scores, reference)), scores.losses.size());
  std::fflush(stdout);
}

void compare(const std::string& checkpoint, const std::string& data,
             std::span<char* const> packed) {
  const auto corpus = std::make_shared<Corpus>(Corpus::open_held_out(data));
  const SavedModel saved = open_model(checkpoint);
  const Index context = saved.config.batch.context;
  TrainedForm trained(saved);
  const TextScores reference = scores_in_parallel(trained.model, corpus, context);
  std::printf("%-40s %8s %9s %8s\n", "", "loss", "difference", "flips");
  print(checkpoint, reference, reference);
  for (const char* path : packed) {
    const LoadedModel loaded = load_model(open_model(path), Device("cpu"), [](Model&) {});
    print(path, scores_in_parallel(*loaded.model, corpus, context), reference);
    print(std::string(path) + ", by token", scores_by_token(*loaded.model, corpus, context),
          reference);
  }
}

}  // namespace
}  // namespace tern::test

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: compare_models CHECKPOINT DATA PACKED...\n");
    return 2;
  }
  try {
    tern::test::compare(argv[1], argv[2], {argv + 3, argv + argc});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "compare_models: %s\n", e.what());
    return 1;
  }
}
