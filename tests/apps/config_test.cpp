// From TOML to a RunConfig and back: values, origins, overrides, the files in configs/, the
// reference.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "apps/config/load.h"
#include "apps/config/resolved.h"
#include "apps/config/schema.h"
#include "core/check.h"
#include "tests/apps/config_complaint.h"

namespace tern {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<std::filesystem::path> example_files() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator("configs"))
    if (entry.path().extension() == ".toml") files.push_back(entry.path());
  return files;
}

std::vector<std::string> changed_keys(const RunConfig& a, const RunConfig& b) {
  std::vector<std::string> keys;
  for (const Difference& d : differences(a, b)) keys.push_back(d.key);
  return keys;
}

TEST(Config, EveryExampleLoadsAndItsResolvedTextMeansTheSame) {
  const auto files = example_files();
  EXPECT_THAT(files, SizeIs(10));
  for (const auto& file : files) {
    SCOPED_TRACE(file);
    const LoadedConfig loaded = load_config(file);
    const LoadedConfig again = parse_config(resolved_config(loaded), "again.toml");
    EXPECT_THAT(differences(loaded.config, again.config), IsEmpty());
    EXPECT_EQ(loaded.config.run.name, file.stem().string());
  }
}

TEST(Config, EveryKeySaysWhatItDecides) {
  RunConfig changed;
  changed.run.name = "other";
  changed.batch.micro_batch = 3;
  changed.ranks.grace = 7;
  changed.optimizer.lr = 0.5;
  changed.schedule.floor = 0.5;
  changed.model.width = 64;
  changed.dtype = Precision::f64;
  std::map<std::string, Decides> decides;
  for (const Difference& d : differences(RunConfig{}, changed)) decides[d.key] = d.decides;
  using enum Decides;
  EXPECT_THAT(decides,
              testing::UnorderedElementsAre(
                  testing::Pair("run.name", place), testing::Pair("batch.micro_batch", place),
                  testing::Pair("ranks.grace", place), testing::Pair("optimizer.lr", course),
                  testing::Pair("schedule.floor", course), testing::Pair("model.hidden_size", run),
                  testing::Pair("precision.dtype", run)));
}

TEST(Config, PublishedExamplesHaveThePublishedNumbers) {
  const RunConfig small = load_config("configs/370m.toml").config;
  EXPECT_EQ(count_parameters(small.model).total(), 374'108'160);
  EXPECT_EQ(small.optimizer.lr, 4e-3);
  EXPECT_EQ(total_steps(small), 28'611);  // 15e9 tokens in batches of 524288, rounded up
  const RunConfig middle = load_config("configs/1.3b.toml").config;
  EXPECT_EQ(count_parameters(middle.model).total(), 1'364'779'008);
  EXPECT_EQ(middle.optimizer.lr, 2.5e-3);
  const RunConfig large = load_config("configs/2.7b.toml").config;
  EXPECT_EQ(count_parameters(large.model).total(), 2'702'357'504);
  EXPECT_EQ(large.optimizer.lr, 1.5e-3);
}

TEST(Config, ValuesOfEveryTypeArriveWhereTheyBelong) {
  const RunConfig c = parse_config(R"(
[run]
name = "trial-1"
directory = "out"
seed = 9_223_372_036_854_775_807
steps = 1_000
[model]
hidden_size = 64
num_hidden_layers = 2
use_lower_bound = false
quantize = "none"
init = "normal"
[data]
order = "sequential"
[[data.source]]
path = "a"
weight = 3
[[data.source]]
path = "b"
validation = "c"
[optimizer]
lr = 0.004
clip = 2  # an integer where a number is wanted
[schedule]
preset = "wsd"
warmup = 50
decay = "12.5%"
decay_curve = "linear"
[precision]
dtype = "f64"
[memory]
recompute = "cheap"
[logging]
sample_prompts = ["To be,\nor", 'C:\new "x"']
)",
                                   "trial.toml")
                          .config;
  EXPECT_EQ(c.run.name, "trial-1");
  EXPECT_EQ(c.run.seed, 9'223'372'036'854'775'807);
  EXPECT_EQ(c.run.steps, 1000);
  EXPECT_FALSE(c.model.use_lower_bound);
  EXPECT_EQ(c.model.quantize, Quantize::none);
  EXPECT_EQ(c.model.init, Init::normal);
  EXPECT_EQ(c.data.order, DataOrder::sequential);
  ASSERT_THAT(c.data.sources, SizeIs(2));
  EXPECT_EQ(c.data.sources[0].weight, 3);
  EXPECT_EQ(c.data.sources[1].path, "b");
  EXPECT_EQ(c.data.sources[1].validation, "c");
  EXPECT_EQ(c.optimizer.lr, 0.004);
  EXPECT_EQ(c.optimizer.clip, 2);
  EXPECT_EQ(c.optimizer.beta2, 0.95);
  EXPECT_EQ(c.schedule.preset, SchedulePreset::wsd);
  EXPECT_EQ(c.schedule.warmup, (Span{50, false}));
  EXPECT_EQ(c.schedule.decay, (Span{12.5, true}));
  EXPECT_EQ(c.schedule.decay.steps(1000), 125);
  EXPECT_EQ(c.schedule.decay_curve, SegmentCurve::linear);
  EXPECT_EQ(c.dtype, Precision::f64);
  EXPECT_EQ(c.recompute, Recompute::cheap);
  EXPECT_THAT(c.logging.sample_prompts, ElementsAre("To be,\nor", "C:\\new \"x\""));
}

// Every key, set to something else than its default, survives writing and reading.
TEST(Config, EveryKeyRoundTrips) {
  const std::set<std::string> kTied = {"run.steps",
                                       "model.size",
                                       "model.attention",
                                       "model.num_attention_heads",
                                       "model.rope_theta",
                                       "batch.tokens",
                                       "batch.context",
                                       "init_from.moments",
                                       "optimizer.moments",
                                       "checkpoint.keep_every",
                                       "checkpoint.before_decay",
                                       "logging.sample_interval",
                                       "init_from.other_tokenizer"};
  std::vector<std::string> overrides = {"run.steps=0", "run.tokens=1000000", "run.name=x"};
  const LoadedConfig base = parse_config(kValid, "small.toml", overrides);
  for (const ConfigSection& section : schema())
    for (const ConfigKey& key : section.keys) {
      LoadedConfig changed = base;
      if (section.list && section.count(changed.config) == 0) section.append(changed.config);
      const ConfigValue before = key.get(changed.config, 0);
      ConfigValue after = before;
      if (auto* x = std::get_if<bool>(&after)) *x = !*x;
      if (auto* x = std::get_if<std::int64_t>(&after)) *x += 1;
      if (auto* x = std::get_if<double>(&after)) *x = *x * 0.7 + 1e-7;
      if (auto* x = std::get_if<Span>(&after)) *x = {x->amount / 3, true};
      if (auto* x = std::get_if<std::vector<std::string>>(&after)) *x = {"\t\"\\\n", "ä"};
      if (auto* x = std::get_if<std::string>(&after))
        *x = key.choices.empty()        ? "other"
             : key.choices.back() == *x ? key.choices.front()
                                        : key.choices.back();
      key.set(changed.config, 0, after);
      ASSERT_NE(to_toml(before), to_toml(after)) << section.name << '.' << key.name;
      ASSERT_EQ(to_toml(key.get(changed.config, 0)), to_toml(after)) << key.name;
      try {
        const LoadedConfig again = parse_config(resolved_config(changed), "again.toml");
        EXPECT_THAT(changed_keys(changed.config, again.config), IsEmpty());
      } catch (const Error& e) {
        // a change that does not fit the rest was read all the same
        EXPECT_TRUE(section.name.find("schedule") != std::string::npos ||
                    kTied.contains(section.name + "." + key.name))
            << e.what();
      }
    }
}

TEST(Config, ResolvedTextNamesTheOriginOfEachValue) {
  const LoadedConfig loaded = parse_config(kValid, "dir/small.toml", {"optimizer.clip=0.5"});
  const std::string text = resolved_config(loaded);
  EXPECT_THAT(text, HasSubstr("lr = 0.001                                # dir/small.toml:9\n"));
  EXPECT_THAT(text, HasSubstr("clip = 0.5                                # --set\n"));
  EXPECT_THAT(text, HasSubstr("beta1 = 0.9                               # default\n"));
  EXPECT_THAT(text,
              HasSubstr("name = \"small\"                            # from the file's name\n"));
}

TEST(Config, OverridesWinAndTheLastOneMost) {
  const RunConfig c =
      parse_config(
          kValid, "small.toml",
          {"optimizer.lr=2e-3", "optimizer.lr=3e-3", "run.name=2024", "model.quantize=none",
           "schedule.warmup=10%", "schedule.preset=\"cosine\"",
           "logging.sample_prompts=[\"a\", \"b\"]", "data.source.0.path=with = and \" signs",
           "data.source.1.path=second", "data.source.1.weight=0.5"})
          .config;
  EXPECT_EQ(c.optimizer.lr, 3e-3);
  EXPECT_EQ(c.run.name, "2024");
  EXPECT_EQ(c.model.quantize, Quantize::none);
  EXPECT_EQ(c.schedule.warmup, (Span{10, true}));
  EXPECT_THAT(c.logging.sample_prompts, ElementsAre("a", "b"));
  ASSERT_THAT(c.data.sources, SizeIs(2));
  EXPECT_EQ(c.data.sources[0].path, "with = and \" signs");
  EXPECT_EQ(c.data.sources[1].path, "second");
  EXPECT_EQ(c.data.sources[1].weight, 0.5);
}

TEST(Config, ALengthThatIsSetReplacesTheOtherInTheFile) {
  const LoadedConfig by_tokens = parse_config(kValid, "small.toml", {"run.tokens=5_242_880"});
  EXPECT_EQ(by_tokens.config.run.steps, 0);
  EXPECT_EQ(total_steps(by_tokens.config), 10);
  EXPECT_EQ(total_steps(load_config("configs/370m.toml", {"run.steps=7"}).config), 7);
}

TEST(Config, NamedSizesFillInTheModelAndMayBeRepeated) {
  const std::string text = R"([run]
steps = 1000
[model]
size = "1.3b"
hidden_size = 2048
[[data.source]]
path = "x"
[optimizer]
lr = 1e-3
)";
  const RunConfig c = parse_config(text, "a.toml").config;
  EXPECT_EQ(c.model.width, 2048);
  EXPECT_EQ(c.model.layers, 24);
  EXPECT_EQ(parse_config(text, "a.toml", {"model.vocab_size=512"}).config.model.vocab_size, 512);
}

TEST(Config, SegmentsMakeASchedule) {
  const RunConfig c = parse_config(std::string(kValid) + R"(
[schedule]
preset = "segments"
[[schedule.segment]]
curve = "linear"
from = 0.1
to = 1
until = 10
[[schedule.segment]]
curve = "sqrt"
from = 1
to = 0
until = "100%"
[weight_decay_schedule]
preset = "off_midway"
middle = "25%"
)",
                                   "a.toml")
                          .config;
  const Schedule rate = learning_rate_schedule(c), decay = weight_decay_schedule(c);
  EXPECT_EQ(rate.at(0), 0.1);
  EXPECT_EQ(rate.at(10), 1);
  EXPECT_NEAR(rate.at(55), 1 - std::sqrt(0.5), 1e-12);
  EXPECT_EQ(decay.at(24), 1);
  EXPECT_EQ(decay.at(25), 0);
  EXPECT_EQ(rate.steps(), 100);
}

TEST(Config, EveryPresetMakesASchedule) {
  for (const char* preset : {"constant", "cosine", "cosine_halved", "two_stage", "wsd"}) {
    const RunConfig c =
        parse_config(kValid, "a.toml", {std::string("schedule.preset=") + preset}).config;
    const Schedule rate = learning_rate_schedule(c);
    EXPECT_EQ(rate.at(0), 0.5) << preset;  // a warm-up of 2 % is two steps
    EXPECT_EQ(rate.at(2), 1) << preset;
    EXPECT_EQ(rate.steps(), 100) << preset;
  }
}

TEST(Config, DifferencesNameKeysAndBothValues) {
  const RunConfig a = parse_config(kValid, "a.toml").config;
  const RunConfig b =
      parse_config(kValid, "a.toml", {"model.hidden_size=128", "data.source.1.path=more"}).config;
  const auto found = differences(a, b);
  ASSERT_THAT(found, SizeIs(4));
  EXPECT_EQ(found[0].key, "model.hidden_size");
  EXPECT_EQ(found[0].before, "64");
  EXPECT_EQ(found[0].after, "128");
  EXPECT_EQ(found[1].key, "data.source.1.path");
  EXPECT_EQ(found[1].before, "");
  EXPECT_EQ(found[1].after, "\"more\"");
}

TEST(Config, EveryDefaultIsWithinItsRangeOrMustBeGiven) {
  for (const ConfigSection& section : schema())
    for (const ConfigKey& key : section.keys) {
      EXPECT_FALSE(key.doc.empty()) << key.name;
      const bool from_size = key.name == "hidden_size" || key.name == "num_hidden_layers";
      if (key.required || from_size) continue;
      if (const auto* x = std::get_if<double>(&key.fallback)) {
        EXPECT_TRUE(key.range.contains(*x)) << key.name;
      }
      if (const auto* x = std::get_if<std::int64_t>(&key.fallback)) {
        EXPECT_TRUE(key.range.contains(double(*x))) << key.name;
      }
    }
}

TEST(Config, TheReferencePageIsUpToDate) {
  std::ifstream in("docs/config.md");
  std::ostringstream page;
  page << in.rdbuf();
  EXPECT_EQ(page.str(), config_reference())
      << "run: build/bin/tern config reference > docs/config.md";
}

}  // namespace
}  // namespace tern
