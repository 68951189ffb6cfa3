#include "runtime/zero_shot.h"

#include <cmath>
#include <numeric>

#include "data/text/utf8.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

constexpr std::size_t kNamed = 5;  // of the items that cannot be scored

// Fills in the requests of an item; why it cannot be scored, or "".
std::string encode(ZeroShotItem& to, RequestEncoder& encoder, Index max_length) {
  if (const std::string problem = problem_of(to.item); !problem.empty()) return problem;
  for (std::size_t j = 0; j < to.item.requests(); ++j) {
    to.requests.push_back(encoder.encode(to.item.context(j), to.item.continuation(j)));
    const std::string problem = problem_of(to.requests.back(), max_length);
    if (!problem.empty()) return "request " + std::to_string(j) + ": " + problem;
  }
  return "";
}

void require_few_skipped(const ZeroShotItems& task, std::size_t items) {
  if (double(task.skipped.size()) <= kMostSkipped * double(items)) return;
  std::string names;
  for (std::size_t i = 0; i < std::min(kNamed, task.skipped.size()); ++i)
    names += "; " + task.skipped[i];
  if (task.skipped.size() > kNamed) names += "; ...";
  fail(Fault::input, task.task.file.string(), ": task ", task.task.name, ": ", task.skipped.size(),
       " of ", items, " items cannot be scored: expected at most ", share_text(kMostSkipped),
       ", got ", share_text(double(task.skipped.size()) / double(items)), names);
}

Metric mean_of(std::string name, const std::vector<double>& values) {
  const double n = double(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  Metric metric{.name = std::move(name), .value = mean};
  if (values.size() < 2) return metric;
  double squares = 0;
  for (const double x : values) squares += (x - mean) * (x - mean);
  metric.error = std::sqrt(squares / (n - 1)) / std::sqrt(n);
  return metric;
}

}  // namespace

ZeroShotItems encode_task(ZeroShotTask task, RequestEncoder& encoder, Index max_length,
                          std::optional<std::int64_t> limit) {
  std::vector<TaskItem> items = std::move(task.items);
  task.items.clear();
  ZeroShotItems out{.task = std::move(task), .original = items.size()};
  if (limit && std::size_t(*limit) < items.size()) items.resize(std::size_t(*limit));
  for (TaskItem& item : items) {
    ZeroShotItem encoded{.item = std::move(item)};
    const std::string problem = encode(encoded, encoder, max_length);
    if (!problem.empty()) {
      out.skipped.push_back("item " + encoded.item.id.dump() + ": " + problem);
      continue;
    }
    for (const LikelihoodRequest& r : encoded.requests)
      out.truncated += Index(r.context.size() + r.continuation.size()) > max_length + 1;
    out.items.push_back(std::move(encoded));
  }
  require_few_skipped(out, items.size());
  return out;
}

std::size_t best_choice(const ZeroShotItem& item,
                        const std::function<double(std::size_t choice)>& units) {
  std::size_t best = 0;
  const auto score = [&](std::size_t j) { return item.likelihoods[j].log_likelihood / units(j); };
  for (std::size_t j = 1; j < item.likelihoods.size(); ++j)
    if (score(j) > score(best)) best = j;
  return best;
}

std::vector<Answer> answers_of(const ZeroShotItem& item) {
  const auto answer = [&](std::string_view metric,
                          const std::function<double(std::size_t)>& units) {
    const std::size_t best = best_choice(item, units);
    return Answer{metric, best, std::int64_t(best) == *item.item.gold};
  };
  return {answer("acc", [](std::size_t) { return 1.0; }),
          answer("acc_norm",
                 [&](std::size_t j) { return double(count_characters(item.item.choice(j))); }),
          answer("acc_bytes", [&](std::size_t j) { return double(item.item.choice(j).size()); })};
}

std::vector<Metric> metrics_of(const ZeroShotItems& task) {
  std::vector<double> values;
  if (!task.task.multiple_choice) {
    double sum = 0;
    for (const ZeroShotItem& item : task.items) {
      sum += item.likelihoods[0].log_likelihood;
      values.push_back(item.likelihoods[0].greedy);
    }
    return {mean_of("acc", values),
            {.name = "perplexity",
             .value = std::exp(-sum / double(task.items.size())),
             .higher_is_better = false}};
  }
  std::vector<std::vector<double>> right(3);
  std::vector<std::string> names(3);
  for (const ZeroShotItem& item : task.items) {
    const std::vector<Answer> answers = answers_of(item);
    for (std::size_t m = 0; m < answers.size(); ++m) {
      names[m] = answers[m].metric;
      right[m].push_back(answers[m].right);
    }
  }
  std::vector<Metric> metrics;
  for (std::size_t m = 0; m < (task.task.norms ? right.size() : 1); ++m)
    metrics.push_back(mean_of(names[m], right[m]));
  return metrics;
}

std::optional<double> chance_of(const ZeroShotItems& task) {
  if (!task.task.multiple_choice) return std::nullopt;
  double sum = 0;
  for (const ZeroShotItem& item : task.items) sum += 1 / double(item.requests.size());
  return sum / double(task.items.size());
}

}  // namespace tern
