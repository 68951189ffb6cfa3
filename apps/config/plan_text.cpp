#include "apps/config/plan_text.h"

#include <fmt/format.h>

#include <array>

#include "runtime/quantities.h"

namespace tern {

namespace {

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
  rows.add("  width D, layers L", fmt::format("{}, {}", model.width, model.layers));
  rows.add("  GLU width H", grouped(model.glu_width()));
  rows.add("  vocabulary V", grouped(model.vocab_size));
  rows.add("  quantised", model.quantize == Quantize::ternary ? "ternary" : "none");
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
  rows.add("  FLOP of the run", with_prefix(plan.gemm_flop_total));
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

}  // namespace

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

}  // namespace tern
