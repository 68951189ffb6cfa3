#include "apps/config/exchange_plan.h"

#include <algorithm>

#include "apps/config/plan.h"

namespace tern {
namespace {

constexpr double kRate = 0.6 * 989e12;  // FLOP/s of one H100 or H200, products alone
constexpr double kBackward = 0.55;      // of a step

}  // namespace

double reduce_seconds(double bytes, int n, const NetworkRates& rates) {
  const int g = std::min(n, rates.node), m = (n + g - 1) / g;
  return double(g - 1) / g * bytes / rates.inside + double(m - 1) / m * bytes / g / rates.between;
}

ExchangePlan plan_exchange(const RunConfig& config, int ranks, const NetworkRates& rates) {
  const ParameterCount count = count_parameters(config.model);
  const bool owners = config.parallel.zero == 1;
  ExchangePlan out{.gradient_bytes = double(state_bytes(config).gradients)};
  out.reduce = (owners ? 1 : 2) * reduce_seconds(out.gradient_bytes, ranks, rates);
  if (owners) {  // codes at two bits, the embedding in bf16
    out.copy_bytes = double(count.total() - count.embedding) / 4 + 2 * double(count.embedding);
    out.gather = reduce_seconds(out.copy_bytes, ranks, rates);
  }
  out.compute =
      double(gemm_flop_per_token(config.model)) * double(config.batch.tokens) / ranks / kRate;
  const double exposed = std::max(0.0, out.reduce - kBackward * out.compute);
  out.nothing_hidden = out.compute / (out.compute + out.reduce + out.gather);
  out.backward_hidden = out.compute / (out.compute + exposed + out.gather);
  return out;
}

}  // namespace tern
