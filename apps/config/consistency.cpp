#include <fmt/format.h>

#include <cctype>

#include "apps/config/load.h"
#include "apps/config/schema.h"
#include "autograd/ops.h"
#include "core/check.h"

namespace tern {

namespace {

class Checker {
 public:
  Checker(const LoadedConfig& loaded, const std::set<std::string>& invalid_keys,
          ConfigProblems& problems)
      : config_(loaded.config), loaded_(loaded), invalid_keys_(invalid_keys), problems_(problems) {}

  void length();
  void name();
  void model();
  void data();
  void optimizer();
  void batch();
  void schedules();
  void unused_schedule_keys();
  void logging();
  void checkpoints();

 private:
  // whether all these keys were read
  bool valid(const std::vector<std::string>& keys) const {
    return std::ranges::none_of(
        keys, [&](const std::string& key) { return invalid_keys_.contains(key); });
  }

  // holds, or is reported at the place of `key`
  void expect(bool holds, const std::string& key, std::string_view what) {
    if (holds) return;
    const auto origin = loaded_.origins.find(key);
    const std::string text = fmt::format("{}: {}", key, what);
    if (origin == loaded_.origins.end() || origin->second.kind == ValueOrigin::Kind::derived)
      return problems_.add_anywhere(text);
    problems_.add(origin->second, text);
  }

  // a schedule that can be made, or what is wrong with it
  void expect_schedule(const std::string& table, const std::function<void()>& make);
  const RunConfig& config_;
  const LoadedConfig& loaded_;
  const std::set<std::string>& invalid_keys_;
  ConfigProblems& problems_;
};

void Checker::length() {
  if (!valid({"run.steps", "run.tokens"})) return;
  const RunSection& run = config_.run;
  expect(run.steps > 0 || run.tokens > 0, "run.steps",
         "expected a length of the run, run.steps or run.tokens, got neither");
  expect(
      run.steps == 0 || run.tokens == 0, "run.tokens",
      fmt::format("expected run.steps or run.tokens, got both ({} and {})", run.steps, run.tokens));
}

void Checker::name() {
  if (!valid({"run.name"})) return;
  const auto plain = [](unsigned char c) {
    return (c < 0x80 && std::isalnum(c)) || c == '.' || c == '_' || c == '-';
  };
  const std::string& name = config_.run.name;
  expect(
      name.size() <= 128 && !name.starts_with('.') && std::ranges::all_of(name, plain), "run.name",
      fmt::format("expected at most 128 letters, digits, '.', '_' and '-', not beginning with '.', "
                  "got \"{}\"",
                  excerpt(name)));
}

void Checker::model() {
  if (!valid({"model.size", "model.hidden_size", "model.num_hidden_layers"})) return;
  const std::string& size = config_.model_size;
  const ModelConfig& model = config_.model;
  const bool custom = size == "custom";
  const ModelConfig named = custom ? model : named_model(size);
  const auto expect_number = [&](const std::string& key, std::int64_t got, std::int64_t published) {
    expect(got > 0, key, "expected a number, or a published model.size, got neither");
    expect(got == published, key,
           fmt::format("expected {} (model.size = \"{}\"), got {} (for another, set model.size = "
                       "\"custom\")",
                       published, size, got));
  };
  expect_number("model.hidden_size", model.width, named.width);
  expect_number("model.num_hidden_layers", model.layers, named.layers);
  const auto expect_exact = [&](const std::string& key, std::int64_t inputs) {
    expect(model.quantize == Quantize::none || inputs <= kMaxExactInputs, key,
           fmt::format("expected at most {} with model.quantize = \"ternary\", whose sums must be "
                       "exact in f32, got {}",
                       kMaxExactInputs, inputs));
  };
  if (valid({"model.intermediate_size"}))
    expect_exact("model.intermediate_size", model.glu_width());
  if (valid({"model.type", "model.quantize", "model.attention", "model.num_attention_heads",
             "model.rope_theta", "model.use_lower_bound", "model.use_output_gate"}))
    if (const auto problem = family_problem(model))
      expect(false, "model." + problem->key, problem->expected);
  expect(config_.backward <= Backward::bf16 || model.quantize == Quantize::ternary,
         "precision.backward",
         "8-bit products need ternary weights: expected model.quantize = \"ternary\"");
  expect(config_.parallel.zero == 0 || model.quantize == Quantize::ternary, "parallel.zero",
         "1 needs ternary weights, because ranks exchange ternary codes: expected model.quantize = "
         "\"ternary\"");
}

void Checker::data() {
  if (!valid({"data.source.path"})) return;
  expect(!config_.data.sources.empty(), "data.source",
         "expected at least one [[data.source]] with a path, got none");
}

void Checker::optimizer() {
  const auto requires_f32 = [&](const char* key, bool half) {
    if (valid({key, "precision.dtype"}))
      expect(!half || config_.dtype == Precision::f32, key,
             "expected \"f32\" with precision.dtype = \"f64\", got \"bf16\"");
  };
  requires_f32("optimizer.moments", config_.optimizer.moments == Stored::bf16);
  requires_f32("optimizer.gradients", config_.optimizer.gradients == Stored::bf16);
}

void Checker::batch() {
  const BatchSection& batch = config_.batch;
  if (!valid({"batch.tokens", "batch.context"})) return;
  expect(batch.tokens % batch.context == 0, "batch.tokens",
         fmt::format("expected a multiple of batch.context = {}, got {}", batch.context,
                     batch.tokens));
  if (!valid({"batch.micro_batch"})) return;
  const std::int64_t sequences = std::max<std::int64_t>(1, batch.tokens / batch.context);
  expect(batch.micro_batch <= sequences, "batch.micro_batch",
         fmt::format("expected at most the batch's {} sequences, got {}", sequences,
                     batch.micro_batch));
}

void Checker::expect_schedule(const std::string& table, const std::function<void()>& make) {
  const auto within = [&](const std::string& key) { return key.starts_with(table + "."); };
  if (std::ranges::any_of(invalid_keys_, within)) return;
  try {
    make();
  } catch (const Error& e) {
    expect(false, table + ".preset", e.what());
  }
}

void Checker::schedules() {
  if (!valid({"run.steps", "run.tokens", "batch.tokens"}) || total_steps(config_) == 0) return;
  expect_schedule("schedule", [&] { learning_rate_schedule(config_); });
  expect_schedule("weight_decay_schedule", [&] { weight_decay_schedule(config_); });
}

// A key that the chosen preset does not read must be left at its default: else it is a
// misunderstanding.
void Checker::unused_schedule_keys() {
  if (!valid({"schedule.preset", "weight_decay_schedule.preset"})) return;
  const auto only = [&](const std::string& key, bool used, bool changed, std::string_view presets) {
    if (invalid_keys_.contains(key)) return;
    expect(used || !changed, key, fmt::format("expected only with preset {}", presets));
  };
  using enum SchedulePreset;
  const ScheduleSection &s = config_.schedule, d;
  const SchedulePreset p = s.preset;
  only("schedule.warmup", p != segments, s.warmup != d.warmup, "other than segments");
  only("schedule.floor", p != segments && p != constant, s.floor != d.floor,
       "cosine, cosine_halved, two_stage or wsd");
  only("schedule.middle", p == cosine_halved || p == two_stage, s.middle != d.middle,
       "cosine_halved or two_stage");
  only("schedule.first_stage_end", p == two_stage, s.first_stage_end != d.first_stage_end,
       "two_stage");
  only("schedule.second_stage_start", p == two_stage, s.second_stage_start != d.second_stage_start,
       "two_stage");
  only("schedule.decay", p == wsd, s.decay != d.decay, "wsd");
  only("schedule.decay_curve", p == wsd, s.decay_curve != d.decay_curve, "wsd");
  only("schedule.segment.0.curve", p == segments, !s.segments.empty(), "segments");

  const DecayScheduleSection &w = config_.weight_decay_schedule, wd;
  only("weight_decay_schedule.middle", w.preset == DecayPreset::off_midway, w.middle != wd.middle,
       "off_midway");
  only("weight_decay_schedule.segment.0.curve", w.preset == DecayPreset::segments,
       !w.segments.empty(), "segments");
}

void Checker::logging() {
  const LoggingSection& log = config_.logging;
  if (valid({"logging.sample_interval", "logging.sample_prompts"}))
    expect(log.sample_interval == 0 || !log.sample_prompts.empty(), "logging.sample_prompts",
           fmt::format("expected at least one prompt, as logging.sample_interval is {}, got none",
                       log.sample_interval));
  if (valid({"logging.validation_interval", "logging.validation_tokens", "batch.context"}))
    expect(log.validation_interval == 0 || log.validation_tokens >= config_.batch.context,
           "logging.validation_tokens",
           fmt::format("expected at least batch.context = {}, got {}", config_.batch.context,
                       log.validation_tokens));
}

void Checker::checkpoints() {
  const CheckpointSection& c = config_.checkpoint;
  if (valid({"checkpoint.interval", "checkpoint.keep_every"}))
    expect(c.keep_every == 0 || (c.interval > 0 && c.keep_every % c.interval == 0),
           "checkpoint.keep_every",
           fmt::format("expected a multiple of checkpoint.interval = {}, got {}", c.interval,
                       c.keep_every));
  if (valid({"checkpoint.before_decay", "schedule.preset"}))
    expect(!c.before_decay || config_.schedule.preset == SchedulePreset::wsd,
           "checkpoint.before_decay", "expected schedule.preset = \"wsd\" with it, got another");
  const InitFromSection& from = config_.init_from;
  for (const auto& [key, given] : {std::pair("init_from.moments", from.moments),
                                   std::pair("init_from.other_tokenizer", from.other_tokenizer)})
    if (valid({"init_from.path", key}))
      expect(!given || !from.path.empty(), key, "expected init_from.path with it, got none");
}

}  // namespace

void check_consistency(const LoadedConfig& loaded, const std::set<std::string>& invalid_keys,
                       ConfigProblems& problems) {
  Checker checker(loaded, invalid_keys, problems);
  checker.length();
  checker.name();
  checker.model();
  checker.data();
  checker.optimizer();
  checker.batch();
  checker.schedules();
  checker.unused_schedule_keys();
  checker.logging();
  checker.checkpoints();
}

}  // namespace tern
