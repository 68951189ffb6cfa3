#include "core/sample_row.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace tern {
namespace {

using Weight = std::uint64_t;

// A row's tokens, by index, and their ranking.
template <class R>
struct Ranked {
  std::span<const R> logits;
  std::vector<std::int32_t> order;  // the kept tokens, in any order

  explicit Ranked(std::span<const R> row) : logits(row), order(row.size()) {
    std::iota(order.begin(), order.end(), 0);
  }
  // order[rank] is that of a sort, what ranks before stays before; only [first, last) is touched
  void place(std::size_t first, std::size_t rank, std::size_t last) {
    std::nth_element(order.begin() + first, order.begin() + rank, order.begin() + last,
                     [&](std::int32_t a, std::int32_t b) {
                       return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
                     });
  }
  void keep_first(std::size_t k) {
    if (k >= order.size()) return;
    place(0, k, order.size());
    order.resize(k);
  }
  // The fewest whose weights sum to p of all. Halves the tokens that the last of them may be among:
  // [first, last).
  void keep_likeliest(double p, const std::vector<Weight>& weights) {
    const auto sum_of = [&](std::size_t begin, std::size_t end) {
      return std::accumulate(order.begin() + begin, order.begin() + end, Weight(0),
                             [&](Weight sum, std::int32_t i) { return sum + weights[i]; });
    };
    const double enough = p * double(sum_of(0, order.size()));
    std::size_t first = 0, last = order.size();
    Weight before = 0;  // the sum of [0, first), not enough
    while (last - first > 1) {
      const std::size_t middle = first + (last - first) / 2;
      place(first, middle, last);
      const Weight sum = before + sum_of(first, middle);
      if (double(sum) >= enough) {
        last = middle;
      } else {
        first = middle;
        before = sum;
      }
    }
    order.resize(last);
  }
};

std::int32_t draw(const std::vector<Weight>& weights, double uniform) {
  const Weight sum = std::accumulate(weights.begin(), weights.end(), Weight(0));
  const Weight at = std::min(Weight(uniform * double(sum)), sum - 1);
  std::int32_t token = 0;
  for (Weight running = weights[0]; running <= at; running += weights[token]) ++token;
  return token;
}

}  // namespace

template <class R>
std::int32_t sample_row(std::span<const R> logits, double uniform, const SampleToken& rule) {
  const auto begin = logits.begin(), end = logits.end();
  const auto odd = std::find_if_not(begin, end, [](R x) { return std::isfinite(x); });
  if (odd != end) return std::int32_t(-1 - (odd - begin));
  const auto likeliest = std::max_element(begin, end);
  if (rule.temperature <= 0) return std::int32_t(likeliest - begin);
  const double top = double(*likeliest);
  const auto weight = [&](R x) {
    return Weight(std::nearbyint(std::exp((double(x) - top) / rule.temperature) * 0x1p40));
  };
  std::vector<Weight> weights(logits.size());
  if (rule.top_k <= 0 && rule.top_p >= 1) {
    std::transform(begin, end, weights.begin(), weight);
    return draw(weights, uniform);
  }
  Ranked<R> kept(logits);
  if (rule.top_k > 0) kept.keep_first(std::size_t(rule.top_k));
  for (const std::int32_t i : kept.order) weights[i] = weight(logits[i]);
  if (rule.top_p < 1) {
    kept.keep_likeliest(rule.top_p, weights);
    std::vector<Weight> of_kept(logits.size());
    for (const std::int32_t i : kept.order) of_kept[i] = weights[i];
    weights.swap(of_kept);
  }
  return draw(weights, uniform);
}

template std::int32_t sample_row(std::span<const float>, double, const SampleToken&);
template std::int32_t sample_row(std::span<const double>, double, const SampleToken&);

}  // namespace tern
