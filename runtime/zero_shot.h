// The items of zero-shot tasks as requests, and the metrics of their log-likelihoods, as
// lm-evaluation-harness defines them: docs/evaluation.md.
#pragma once

#include "runtime/request_encoder.h"
#include "runtime/zero_shot_task.h"

namespace tern {

struct ZeroShotItem {
  TaskItem item{};
  std::vector<LikelihoodRequest> requests{};  // whole, even where they are too long for the model
  std::vector<Likelihood> likelihoods{};      // of the requests, once they are known
};

struct ZeroShotItems {
  ZeroShotTask task{};                 // without its items
  std::size_t original = 0;            // items in the file
  std::vector<ZeroShotItem> items{};   // that are scored
  std::vector<std::string> skipped{};  // "item 7: why", of those that cannot be
  std::size_t truncated = 0;           // requests that are longer than the model takes
};

inline constexpr double kMostSkipped = 0.01;  // of a task's items

// The first `limit` items of a task. Fault::input, naming them, if more than kMostSkipped of those
// cannot be scored.
ZeroShotItems encode_task(ZeroShotTask task, RequestEncoder& encoder, Index max_length,
                          std::optional<std::int64_t> limit);

// The number of the largest score per unit, the first of equals.
std::size_t best_choice(const ZeroShotItem& item,
                        const std::function<double(std::size_t choice)>& units);

// What a multiple-choice item is answered with, and whether that is its gold.
struct Answer {
  std::string_view metric;  // "acc", "acc_norm", "acc_bytes"
  std::size_t prediction = 0;
  bool right = false;
};
// By the sum of log-likelihoods; per character and per byte of the choice.
std::vector<Answer> answers_of(const ZeroShotItem& item);

struct Metric {
  std::string name{};
  double value = 0;
  std::optional<double> error{};  // standard error of the mean; none: of one item, or no mean
  bool higher_is_better = true;
};

std::vector<Metric> metrics_of(const ZeroShotItems& task);
// accuracy of random answers: the mean of 1 / choices; none: not multiple choice
std::optional<double> chance_of(const ZeroShotItems& task);

}  // namespace tern
