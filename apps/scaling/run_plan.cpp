#include "apps/scaling/run_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/config/schema.h"
#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

constexpr double kAspect = 64;  // width for each layer: the published sizes have 43 to 85

double two_digits(double x) {
  const double unit = std::pow(10, std::floor(std::log10(x)) - 1);
  return std::stod(fmt::format("{:.12g}", std::round(x / unit) * unit));
}

double peak_rate(const RunConfig& config, double flop) {
  if (config.model.quantize == Quantize::none) return two_digits(0.3118 * std::pow(flop, -0.125));
  const double slope = std::log(4e-3 / 1.5e-3) / std::log(370e6 / 2.7e9);
  const double n = double(count_parameters(config.model).total());
  return two_digits(std::min(1e-2, 4e-3 * std::pow(n / 370e6, slope)));
}

// tokens, a power of two times the context; at least 100 steps
std::int64_t batch_tokens(double flop, double tokens, std::int64_t context) {
  const double wanted = std::min(0.292 * std::pow(flop, 0.3271), tokens / 100);
  std::int64_t batch = context;
  while (2.0 * double(batch) <= wanted * std::sqrt(2.0)) batch *= 2;
  return batch;
}

}  // namespace

ScalingLaw published_law() {
  return {LawKind::chinchilla, {477.83, 2143.4, 1.817218, 0.34731, 0.367172}};
}

ScalingLaw saved_law(const std::filesystem::path& path, const std::string& family) {
  const std::string where = path.string();
  const nlohmann::json file = nlohmann::json::parse(read_file(path, 1 << 28), nullptr, false);
  require(file.is_object() && file.contains("families") && file["families"].is_array() &&
              file.contains("law"),
          Fault::input, where, ": expected a file of `tern scaling fit --json`");
  require(file["law"] == "chinchilla", Fault::input, where,
          ": expected the law chinchilla, which tells parameters from tokens, got ",
          file["law"].dump());
  std::vector<std::string> names;
  for (const nlohmann::json& f : file["families"]) {
    names.push_back(f.value("name", ""));
    if (names.back() != family && !(family.empty() && file["families"].size() == 1)) continue;
    ScalingLaw law{LawKind::chinchilla, {}};
    const auto keys = value_names(law.kind);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const auto at = f.find("values");
      const bool good = at != f.end() && at->contains(keys[i]) &&
                        (*at)[keys[i]].contains("value") && (*at)[keys[i]]["value"].is_number();
      require(good, Fault::input, where, ": expected the value ", keys[i], " of ", names.back());
      law.values[i] = (*at)[keys[i]]["value"].get<double>();
    }
    require(law.usable(), Fault::input, where, ": ", names.back(),
            ": expected exponents above 0, got others: no best division");
    return law;
  }
  fail(Fault::input, where, ": --family: expected one of ",
       fmt::format("{}", fmt::join(names, ", ")), "; got ", family.empty() ? "none" : family);
}

void set_shape(ModelConfig& model, double gemm_parameters) {
  constexpr std::int64_t kStep = 64, kWidest = 65536, kDeepest = 1024;
  double best = std::log(1.25) + 1;  // beyond it nothing is near
  ModelConfig chosen = model;
  for (std::int64_t width = kStep; width <= kWidest; width += kStep) {
    ModelConfig tried = model;
    tried.width = width, tried.explicit_heads = 0, tried.explicit_glu_width = 0;
    const double head = double(width) * double(tried.vocab_size), H = double(tried.glu_width());
    const double block = 4.0 * double(width) * double(width) + 3 * double(width) * H;
    if (head > 2 * gemm_parameters) break;
    const std::int64_t about = std::llround((gemm_parameters - head) / block);
    tried.layers = std::clamp<std::int64_t>(about, 1, kDeepest);
    const double n = double(tried.layers) * block + head;
    const double off = std::abs(std::log(n / gemm_parameters));
    const double shape = std::abs(std::log(double(width) / double(tried.layers) / kAspect));
    if (off > std::log(1.25) || family_problem(tried)) continue;  // heads must share the width
    const double score = 2 * off + 0.25 * shape;
    if (score < best) best = score, chosen = tried;
  }
  require(chosen.layers > 0 && chosen.width > 0, Fault::usage, "scaling plan: no model of about ",
          gemm_parameters, " weights with a vocabulary of ", model.vocab_size,
          ": give more FLOP or hours, or data with a smaller vocabulary");
  model = chosen;
}

RunPlan plan_run(const ScalingLaw& law, double flop, const RunConfig& config) {
  RunPlan plan{.config = config, .wanted = law.optimum(flop)};
  RunConfig& c = plan.config;
  c.model.width = c.model.layers = 0;
  set_shape(c.model, plan.wanted.parameters);
  const double tokens = flop / flop_per_token(c.model, c.batch.context);
  c.batch.tokens = batch_tokens(flop, tokens, c.batch.context);
  c.run.steps = 0;
  c.run.tokens =
      std::max<std::int64_t>(1, std::llround(tokens / double(c.batch.tokens))) * c.batch.tokens;
  c.optimizer.lr = peak_rate(c, flop);
  const std::int64_t steps = total_steps(c);
  c.logging.validation_interval = std::max<std::int64_t>(1, steps / 20);
  c.checkpoint.interval = c.logging.validation_interval * 5;
  plan.flop = flop_per_token(c.model, c.batch.context) * double(c.run.tokens);
  plan.predicted_loss =
      law.loss(double(count_parameters(c.model).matrices()), double(c.run.tokens));
  return plan;
}

RunPlan plan_time(const ScalingLaw& law, double seconds, const RunConfig& config,
                  const std::function<double(const RunConfig&)>& speed) {
  constexpr double kFirstGuess = 1e14;  // FLOP
  RunPlan plan = plan_run(law, kFirstGuess, config);
  double flop = 0;
  for (int round = 0; round < 4; ++round) {
    const double next = seconds * speed(plan.config);
    plan = plan_run(law, next, config);
    if (std::abs(std::log(next / std::max(flop, 1.0))) < 0.03) break;
    flop = next;
  }
  return plan;
}

std::string run_plan_toml(const RunPlan& plan, const std::string& comment) {
  const RunConfig& c = plan.config;
  std::string text = comment;
  text +=
      fmt::format("[run]\ntokens = {}\n\n[model]\ntype = \"{}\"\nquantize = \"{}\"\n", c.run.tokens,
                  c.model.type, c.model.quantize == Quantize::ternary ? "ternary" : "none");
  text += fmt::format("hidden_size = {}\nnum_hidden_layers = {}\n", c.model.width, c.model.layers);
  for (const DataSource& source : c.data.sources) {
    text += fmt::format("\n[[data.source]]\npath = {}\n", toml_string(source.path));
    if (!source.validation.empty())
      text += fmt::format("validation = {}\n", toml_string(source.validation));
  }
  text +=
      fmt::format("\n[optimizer]\nlr = {}\n\n[schedule]\npreset = \"cosine\"\n", c.optimizer.lr);
  text += fmt::format("\n[batch]\ntokens = {}\ncontext = {}\n", c.batch.tokens, c.batch.context);
  text += fmt::format("\n[logging]\nvalidation_interval = {}\n\n[checkpoint]\ninterval = {}\n",
                      c.logging.validation_interval, c.checkpoint.interval);
  return text;
}

}  // namespace tern
