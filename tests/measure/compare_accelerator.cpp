// What the accelerator's arithmetic changes on a text: loss and likeliest tokens of the fixed-point
// model beside those of the same checkpoint in f64 and in f32. For docs/accelerator.md.
//   compare_accelerator CHECKPOINT DATA [POSITIONS]
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "apps/run/open_model.h"
#include "core/backend.h"
#include "layers/decode_model.h"
#include "rtl/model/fixed_model.h"
#include "runtime/training_data.h"
#include "tests/apps/model_comparison.h"

namespace tern::test {
namespace {

using Batches = std::vector<Batch>;

// Sequences of a context each, which begin with a zero state.
Batches first_sequences(const std::string& data, Index context, Index positions) {
  const auto corpus = std::make_shared<Corpus>(Corpus::open_held_out(data));
  SequentialPass pass(token_source(corpus, "text", 1), std::uint64_t(context), 1,
                      std::uint64_t(positions / context));
  Batches out;
  while (auto batch = pass.next()) out.push_back(std::move(*batch));
  require(Index(out.size()) == positions / context && out.back().targets.back() != kIgnoreIndex,
          Fault::usage, data, ": expected ", positions, " positions of held-out text, got fewer");
  return out;
}

TextScores scores_in(Precision precision, SavedModel saved, const Batches& batches) {
  saved.config.dtype = precision;
  const LoadedModel loaded = load_model(saved, Device("cpu"), [](Model&) {});
  Backend& on = *loaded.backend;
  TextScores out;
  for (const auto& batch : batches) {
    const Shape shape{1, Index(batch.inputs.size())};
    const TokenScores scores = loaded.model->score({}, upload_ids(on, shape, batch.inputs),
                                                   upload_ids(on, shape, batch.targets), nullptr);
    const std::vector<double> losses = download_real(scores.losses);
    std::vector<std::int32_t> likeliest(losses.size());
    on.download(likeliest.data(), scores.likeliest);
    out.losses.insert(out.losses.end(), losses.begin(), losses.end());
    out.likeliest.insert(out.likeliest.end(), likeliest.begin(), likeliest.end());
  }
  return out;
}

double loss_of(const rtl::Vector& sums, double scale, std::int32_t target) {
  const double largest = *std::ranges::max_element(sums) * scale;
  double sum = 0;
  for (const std::int32_t s : sums) sum += std::exp(s * scale - largest);
  return largest + std::log(sum) - sums[std::size_t(target)] * scale;
}

TextScores fixed_scores(const SavedModel& saved, const Batches& batches,
                        std::int64_t& saturations) {
  const LoadedModel loaded =
      load_model(saved, Device("cpu"), [](Model& m) { decode_model(m, m.new_state(1)); });
  const auto model = decode_model(*loaded.model, loaded.model->new_state(1));
  require(model.has_value(), Fault::usage, saved.path.string(), ": no model of the accelerator");
  rtl::FixedModel fixed(*model);
  TextScores out;
  for (const auto& batch : batches) {
    fixed.clear();
    for (std::size_t t = 0; t < batch.inputs.size(); ++t) {
      const rtl::Vector& sums = fixed.step(batch.inputs[t]);
      out.losses.push_back(loss_of(sums, real_of(fixed.logit_scale()), batch.targets[t]));
      out.likeliest.push_back(std::int32_t(std::ranges::max_element(sums) - sums.begin()));
    }
  }
  saturations = fixed.saturations();
  return out;
}

void compare(const std::string& checkpoint, const std::string& data, Index positions) {
  const SavedModel saved = open_model(checkpoint);
  const Batches batches = first_sequences(data, saved.config.batch.context, positions);
  const TextScores reference = scores_in(Precision::f64, saved, batches);
  const auto print = [&](const char* name, const TextScores& scores) {
    const auto all = double(scores.losses.size());
    std::printf("%-12s loss %.6f  difference %+.6f  same likeliest token %.2f %% of %zu\n", name,
                scores.mean_loss(), scores.mean_loss() - reference.mean_loss(),
                100 * (1 - double(flips(scores, reference)) / all), scores.losses.size());
    std::fflush(stdout);
  };
  print("f64", reference);
  print("f32", scores_in(Precision::f32, saved, batches));
  std::int64_t saturations = 0;
  print("accelerator", fixed_scores(saved, batches, saturations));
  std::printf("saturations  %lld\n", static_cast<long long>(saturations));
}

}  // namespace
}  // namespace tern::test

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fprintf(stderr, "usage: compare_accelerator CHECKPOINT DATA [POSITIONS]\n");
    return 2;
  }
  try {
    tern::test::compare(argv[1], argv[2], argc > 3 ? std::atol(argv[3]) : 8192);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "compare_accelerator: %s\n", e.what());
    return 1;
  }
}
