#include "apps/plan/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/check.h"
#include "layers/family.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

// Kept at the end of the run: the last few, the best, and those at multiples of keep_every that are
// older.
std::int64_t most_checkpoints(const RunConfig& config, std::int64_t steps) {
  const CheckpointSection& checkpoint = config.checkpoint;
  const bool best = checkpoint.keep_best && config.logging.validation_interval > 0;
  const std::int64_t saved =
      checkpoint.interval > 0 ? (steps + checkpoint.interval - 1) / checkpoint.interval : 1;
  const std::int64_t for_good = checkpoint.keep_every > 0 ? steps / checkpoint.keep_every : 0;
  return std::min(saved, checkpoint.keep_last + 1 + best + for_good) + checkpoint.before_decay;
}

std::vector<SourcePlan> plan_sources(const std::vector<DataSource>& sources,
                                     const std::vector<std::int64_t>& tokens, double total) {
  double weights = 0;
  for (const DataSource& source : sources) weights += source.weight;
  std::vector<SourcePlan> plans;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const double share = sources[i].weight / weights;
    const double epochs = tokens[i] > 0 ? share * total / double(tokens[i]) : 0;
    plans.push_back({sources[i].path, tokens[i], share, epochs});
  }
  return plans;
}

// label, value, remark: one line; the values end in one column
class Rows {
 public:
  void add(const std::string& label, const std::string& value, const std::string& remark = "") {
    text_ += fmt::format("{:<26}{:>20}{}{}\n", label, value, remark.empty() ? "" : "  ", remark);
  }
  void heading(const std::string& label) {
    text_ += fmt::format("{}{}\n", text_.empty() ? "" : "\n", label);
  }
  std::string text() const { return text_; }

 private:
  std::string text_;
};

std::string share(std::int64_t part, std::int64_t whole) {
  return fmt::format("{:4.1f} %", 100 * double(part) / double(whole));
}

void add_model(Rows& rows, const ModelConfig& model, const ParameterCount& count) {
  rows.heading("model");
  rows.add("  family", model.type);
  rows.add("  width D, layers L", fmt::format("{}, {}", model.width, model.layers));
  rows.add("  GLU width H", grouped(model.glu_width()));
  rows.add("  vocabulary V", grouped(model.vocab_size));
  rows.add("  quantised", model.quantize == Quantize::ternary ? "ternary" : "none");
  if (family_of(model.type).attention)
    rows.add("  attention heads", std::to_string(model.heads()),
             model.attention == AttentionKind::ternary ? "ternary queries and keys" : "");
  rows.heading("parameters");
  const auto part = [&](const std::string& label, std::int64_t n) {
    rows.add("  " + label, grouped(n), share(n, count.total()));
  };
  part("embedding", count.embedding);
  part("body: token mixers", count.token_mixer);
  part("body: channel mixers", count.channel_mixer);
  part("head", count.head);
  part("norms", count.norms);
  part("lower bounds", count.lower_bounds);
  rows.add("  total", grouped(count.total()));
}

void add_work(Rows& rows, const Plan& plan) {
  rows.heading("work");
  rows.add("  tokens per step", grouped(plan.tokens_per_step),
           fmt::format("{} sequences", grouped(plan.sequences_per_step)));
  rows.add("  steps", grouped(plan.steps));
  rows.add(
      "  tokens", grouped(plan.tokens),
      fmt::format("{:.1f} per parameter", double(plan.tokens) / double(plan.parameters.total())));
  for (const SourcePlan& source : plan.sources)
    rows.add("  one epoch", grouped(source.tokens_per_epoch),
             fmt::format("{}: {:.1f} % of the run, {:.2f} epochs", source.path, 100 * source.share,
                         source.epochs));
  rows.add("  FLOP per token", with_prefix(double(plan.gemm_flop_per_token)),
           "products, forward and backward");
  if (plan.attention_flop_per_token > 0)
    rows.add("  of attention besides", with_prefix(double(plan.attention_flop_per_token)),
             "per token, without what the mask leaves out");
  rows.add("  FLOP of the run", with_prefix(plan.flop_total));
}

void add_bytes(Rows& rows, const Plan& plan) {
  rows.heading("bytes");
  rows.add("  parameters", bytes_text(double(plan.parameter_bytes)));
  rows.add("  gradients", bytes_text(double(plan.gradient_bytes)));
  rows.add("  moments", bytes_text(double(plan.moment_bytes)));
  rows.add("  one checkpoint", bytes_text(double(plan.checkpoint_bytes)));
  rows.add("  checkpoints on disk", bytes_text(plan.disk_bytes),
           fmt::format("at most {} at a time", grouped(plan.checkpoints)));
}

constexpr double kRate = 0.6 * 989e12;  // FLOP/s of one H100 or H200, products alone
constexpr double kBackward = 0.55;      // of a step

}  // namespace

Plan make_plan(const RunConfig& config, const std::vector<std::int64_t>& source_tokens) {
  check(source_tokens.size() == config.data.sources.size(), "[plan] token counts: expected ",
        config.data.sources.size(), ", got ", source_tokens.size());
  Plan plan;
  plan.parameters = count_parameters(config.model);
  plan.gemm_flop_per_token = gemm_flop_per_token(config.model);
  plan.attention_flop_per_token = attention_flop_per_token(config.model, config.batch.context);
  plan.tokens_per_step = config.batch.tokens;
  plan.sequences_per_step = config.batch.tokens / config.batch.context;
  plan.steps = total_steps(config);
  plan.tokens = plan.steps * plan.tokens_per_step;
  plan.flop_total = flop_per_token(config.model, config.batch.context) * double(plan.tokens);
  plan.sources = plan_sources(config.data.sources, source_tokens, double(plan.tokens));

  const StateBytes state = state_bytes(config);
  plan.parameter_bytes = state.parameters;
  plan.gradient_bytes = state.gradients;
  plan.moment_bytes = state.moments;
  plan.checkpoint_bytes = plan.parameter_bytes + plan.moment_bytes;
  plan.checkpoints = most_checkpoints(config, plan.steps);
  plan.disk_bytes = double(plan.checkpoints) * double(plan.checkpoint_bytes);
  return plan;
}

std::string grouped(std::int64_t number) {
  std::string digits = fmt::format("{}", number);
  const std::size_t first = number < 0 ? 2 : 1;  // no comma before the first digit
  for (std::size_t at = digits.size(); at >= first + 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

std::string with_prefix(double number) {
  constexpr std::array<const char*, 7> kPrefixes = {"", " k", " M", " G", " T", " P", " E"};
  std::size_t i = 0;
  for (; number >= 1000 && i + 1 < kPrefixes.size(); ++i) number /= 1000;
  const int decimals = i == 0 || number >= 100 ? 0 : number >= 10 ? 1 : 2;
  return fmt::format("{:.{}f}{}", number, decimals, kPrefixes[i]);
}

std::string plan_text(const RunConfig& config, const Plan& plan) {
  Rows rows;
  add_model(rows, config.model, plan.parameters);
  add_work(rows, plan);
  add_bytes(rows, plan);
  return rows.text();
}

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
  out.compute = flop_per_token(config.model, config.batch.context) * double(config.batch.tokens) /
                ranks / kRate;
  const double exposed = std::max(0.0, out.reduce - kBackward * out.compute);
  out.nothing_hidden = out.compute / (out.compute + out.reduce + out.gather);
  out.backward_hidden = out.compute / (out.compute + exposed + out.gather);
  return out;
}

}  // namespace tern
