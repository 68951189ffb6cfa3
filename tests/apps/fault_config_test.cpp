// Row 50 of the fault list: mistakes in a configuration.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/apps/config_complaint.h"

namespace tern {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

TEST(Fault50, TheBasisOfTheseTestsIsValid) {
  EXPECT_EQ(complaint(kValid), "accepted");
}

TEST(Fault50, UnknownKeysGetASuggestion) {
  EXPECT_EQ(complaint_of("beta_1 = 0.9\n"),
            "a.toml:10:1: optimizer.beta_1: unknown key (did you mean optimizer.beta1?)");
  EXPECT_EQ(complaint_of("[batch]\n  contxt = 64\n"),
            "a.toml:11:3: batch.contxt: unknown key (did you mean batch.context?)");
  // known in another table
  EXPECT_EQ(complaint_of("seed = 1\n"),
            "a.toml:10:1: optimizer.seed: unknown key (did you mean run.seed?)");
  EXPECT_EQ(complaint(std::string("lr = 1\n") + kValid),
            "a.toml:1:1: lr: unknown key (did you mean optimizer.lr?)");
  // nothing is near
  EXPECT_EQ(complaint_of("[batch]\nwarp_drive = 1\n"),
            "a.toml:11:1: batch.warp_drive: unknown key (keys of [batch]: tokens, context, "
            "micro_batch)");
  EXPECT_EQ(complaint_of("[[data.source]]\npath = \"b\"\nwieght = 2\n"),
            "a.toml:12:1: data.source.wieght: unknown key (did you mean data.source.weight?)");
  // a quoted key with a dot is not a path
  EXPECT_THAT(complaint(std::string("\"run.seed\" = 1\n") + kValid),
              HasSubstr("a.toml:1:1: run.seed"));
}

TEST(Fault50, Fp8NeedsTernaryWeights) {
  const std::string text = std::string(kValid) + "[precision]\nbackward = \"fp8_dx\"\n";
  EXPECT_EQ(complaint(text), "accepted");
  EXPECT_THAT(complaint(text, {"model.quantize=none"}),
              HasSubstr("a.toml:11:12: precision.backward: 8-bit products need ternary weights"));
}

TEST(Fault50, UnknownTablesGetASuggestion) {
  EXPECT_EQ(complaint_of("[checkpoints]\ninterval = 5\n"),
            "a.toml:10:2: checkpoints: unknown table (did you mean [checkpoint]?)");
  EXPECT_EQ(complaint_of("[data.sources]\npath = \"b\"\n"),
            "a.toml:10:7: data.sources: unknown table (did you mean [[data.source]]?)");
  EXPECT_THAT(complaint_of("[zzzzzzzz]\n"),
              HasSubstr("zzzzzzzz: unknown table (tables: run, model,"));
}

TEST(Fault50, DuplicateKeysAndTables) {
  EXPECT_EQ(complaint_of("lr = 2e-3\n"),
            "a.toml:10:6: cannot redefine existing floating-point 'lr' (reading a key-value pair)");
  EXPECT_THAT(
      complaint_of("[run]\nseed = 1\n"),
      AllOf(StartsWith("a.toml:10:1: "), HasSubstr("cannot redefine existing table 'run'")));
}

TEST(Fault50, WrongTypes) {
  const auto with = [](const std::string& line) {
    return complaint_of("[logging]\n" + line + "\n");
  };
  EXPECT_EQ(with("interval = \"10\""),
            "a.toml:11:12: logging.interval: expected an integer >= 0 and <= 1e9, got \"10\" "
            "(write 10)");
  EXPECT_EQ(with("interval = 10.0"),
            "a.toml:11:12: logging.interval: expected an integer >= 0 and <= 1e9, got 10.0 "
            "(write 10)");
  EXPECT_THAT(with("interval = 1.5"), EndsWith("got 1.5"));
  EXPECT_THAT(with("interval = true"), EndsWith("got true"));
  EXPECT_THAT(with("interval = [1]"), EndsWith("got an array"));
  EXPECT_THAT(with("interval = {a = 1}"), EndsWith("got a table"));
  EXPECT_THAT(with("interval = 1979-05-27"), EndsWith("got a date or time"));
  EXPECT_THAT(with("sample_prompts = \"x\""), EndsWith("expected an array of strings, got \"x\""));
  EXPECT_THAT(with("sample_prompts = [\"x\", 1]"), EndsWith("got an array that holds 1"));
  EXPECT_THAT(complaint_of("[run.steps]\n"), HasSubstr("run.steps"));
  EXPECT_THAT(complaint_of("[checkpoint]\nrequired = \"true\"\n"),
              EndsWith("expected true or false, got \"true\" (write true)"));
  EXPECT_THAT(complaint_of("[checkpoint]\nrequired = 1\n"),
              EndsWith("expected true or false, got 1"));
  EXPECT_THAT(complaint_of("[init_from]\npath = 7\n"),
              EndsWith("expected a string, got 7 (put it in quotes)"));
  EXPECT_THAT(complaint_of("[init_from]\npath = \"a\\u0000b\"\n"), HasSubstr("init_from.path"));
  EXPECT_THAT(complaint_of("[schedule]\npreset = 1\n"),
              HasSubstr("\"wsd\" or \"segments\", got 1"));
  EXPECT_THAT(complaint_of("[schedule]\npreset = \"cosin\"\n"),
              HasSubstr("got \"cosin\" (did you mean \"cosine\"?)"));
  EXPECT_THAT(complaint(std::string("batch = 5\n") + kValid),
              EndsWith("a.toml:1:9: batch: expected [batch], got 5"));
  EXPECT_THAT(complaint_of("[precision]\ndtype = f32\n"), HasSubstr("text goes in quotes"));
}

TEST(Fault50, ALearningRateInQuotes) {
  std::string text = kValid;
  text.replace(text.find("1e-3"), 4, "\"1e-3\"");
  EXPECT_EQ(complaint(text),
            "a.toml:9:6: optimizer.lr: expected a number > 0 and <= 1000, got \"1e-3\" "
            "(write 0.001)");
}

TEST(Fault50, NumbersThatAreNone) {
  for (const char* bad :
       {"nan", "+nan", "-nan", "inf", "-inf", "0", "0.0", "-0.0", "-1e-3", "1e300"}) {
    const std::string said = complaint_of_set(std::string("optimizer.lr=") + bad);
    EXPECT_THAT(said, HasSubstr("optimizer.lr: expected a number > 0 and <= 1000, got")) << bad;
  }
  for (const char* bad : {"-1", "0", "1000000001"})
    EXPECT_THAT(complaint_of_set(std::string("batch.tokens=") + bad),
                HasSubstr("batch.tokens: expected an integer >= 1 and <= 1e9, got"));
  for (const char* key : {"optimizer.beta1", "optimizer.beta2"})
    for (const char* bad : {"1", "1.5", "-0.1", "nan"})
      EXPECT_THAT(complaint_of_set(std::string(key) + "=" + bad),
                  HasSubstr("expected a number >= 0 and < 1, got"));
  for (const char* bad :
       {"-1", "\"-1%\"", "\"101%\"", "\"nan%\"", "\"%\"", "\"5 %x\"", "1.5", "2e9"})
    EXPECT_THAT(complaint_of_set(std::string("schedule.warmup=") + bad),
                HasSubstr("expected steps (an integer) or a share of the run"))
        << bad;
}

TEST(Fault50, IntegersThatOverflow) {
  for (const char* huge : {"9223372036854775808", "-9223372036854775809", "99999999999999999999999",
                           "0xFFFFFFFFFFFFFFFFF"}) {
    EXPECT_THAT(complaint_of(std::string("[logging]\ninterval = ") + huge + "\n"),
                AllOf(StartsWith("a.toml:11:"), HasSubstr("not representable in 64 bits")));
  }
  EXPECT_THAT(complaint_of("[logging]\ninterval = 9223372036854775807\n"),
              HasSubstr("expected an integer >= 0 and <= 1e9, got 9223372036854775807"));
  EXPECT_THAT(complaint_of("[optimizer2]\nclip = 1e999\n"), HasSubstr("1e999"));
}

TEST(Fault50, LimitsOfTheModel) {
  EXPECT_THAT(complaint_of_set("model.vocab_size=1000001"), HasSubstr("<= 1e6, got 1000001"));
  EXPECT_THAT(complaint_of_set("model.num_hidden_layers=1025"), HasSubstr("<= 1024, got 1025"));
  EXPECT_THAT(complaint_of_set("model.hidden_size=65537"), HasSubstr("<= 65536, got 65537"));
  EXPECT_THAT(complaint_of_set("model.intermediate_size=262145"), HasSubstr("<= 262144, got"));
  EXPECT_THAT(complaint_of_set("model.hidden_size=0"), HasSubstr("model.hidden_size"));
}

TEST(Fault50, BatchesThatDoNotDivide) {
  EXPECT_EQ(complaint_of("[batch]\ntokens = 1000\ncontext = 300\n"),
            "a.toml:11:10: batch.tokens: expected a multiple of batch.context = 300, got 1000");
  EXPECT_THAT(complaint_of("[batch]\ntokens = 100\ncontext = 300\n"),
              HasSubstr("expected a multiple of batch.context = 300, got 100"));
  EXPECT_THAT(complaint_of("[batch]\ntokens = 600\ncontext = 300\nmicro_batch = 3\n"),
              EndsWith("batch.micro_batch: expected at most the batch's 2 sequences, got 3"));
}

TEST(Fault50, KeysThatContradict) {
  EXPECT_THAT(complaint_of("[run2]\n"), HasSubstr("did you mean [run]?"));
  EXPECT_THAT(complaint(kValid, {"run.steps=0"}),
              HasSubstr("run.steps: expected a length of the run, run.steps or run.tokens, got "
                        "neither"));
  std::string both = kValid;
  both.insert(both.find("[model]"), "tokens = 5\n");
  EXPECT_EQ(complaint(both),
            "a.toml:3:10: run.tokens: expected run.steps or run.tokens, got both (100 and 5)");
  EXPECT_THAT(
      complaint_of_set("model.size=370m"),
      AllOf(HasSubstr("a.toml:4:15: model.hidden_size: expected 1024 (model.size = \"370m\"), "
                      "got 64"),
            HasSubstr("model.num_hidden_layers: expected 24")));
  EXPECT_THAT(complaint_of_set("init_from.moments=true"), HasSubstr("expected init_from.path"));
  const std::string half =
      "[precision]\ndtype = \"f64\"\n[optimizer]\nlr = 1\nmoments = \"bf16\"\n";
  EXPECT_THAT(complaint(half), HasSubstr("optimizer.moments: expected \"f32\" with"));
  const std::string half_gradients =
      "[precision]\ndtype = \"f64\"\n[optimizer]\nlr = 1\ngradients = \"bf16\"\n";
  EXPECT_THAT(complaint(half_gradients),
              HasSubstr("optimizer.gradients: expected \"f32\" with precision.dtype = \"f64\""));
  EXPECT_THAT(complaint_of_set("optimizer.gradients=fp8"),
              HasSubstr("expected \"f32\" or \"bf16\", got"));
  EXPECT_THAT(complaint_of_set("logging.sample_interval=5"), HasSubstr("at least one prompt"));
  EXPECT_THAT(complaint(kValid, {"logging.validation_interval=5", "logging.validation_tokens=100"}),
              HasSubstr("expected at least batch.context = 2048, got 100"));
  EXPECT_THAT(complaint_of("[checkpoint]\ninterval = 100\nkeep_every = 250\n"),
              HasSubstr("a.toml:12:14: checkpoint.keep_every: expected a multiple of "
                        "checkpoint.interval = 100, got 250"));
  EXPECT_THAT(complaint_of_set("checkpoint.before_decay=true"),
              HasSubstr("checkpoint.before_decay: expected schedule.preset = \"wsd\" with it"));
  EXPECT_THAT(complaint_of_set("schedule.decay=5"),
              HasSubstr("schedule.decay: expected only with preset wsd"));
  EXPECT_THAT(complaint_of_set("run.name=../up"), HasSubstr("run.name: expected at most 128"));
  EXPECT_THAT(complaint_of_set("run.name=a b"), HasSubstr("got \"a b\""));
}

TEST(Fault50, SchedulesThatDoNotFit) {
  EXPECT_THAT(complaint_of("[schedule]\nwarmup = 100\n"),
              HasSubstr("expected a warm-up shorter than the run of 100 steps, got 100"));
  EXPECT_THAT(complaint_of("[schedule]\npreset = \"wsd\"\ndecay = \"99%\"\n"),
              HasSubstr("a.toml:11:10: schedule.preset: [schedule] expected a decay of 1 to 98"));
  EXPECT_THAT(complaint_of("[schedule]\npreset = \"cosine_halved\"\nmiddle = 1\n"),
              HasSubstr("expected a middle between"));
  EXPECT_THAT(complaint_of("[schedule]\npreset = \"segments\"\n"),
              HasSubstr("at least one segment"));
  const std::string segment = "[[schedule.segment]]\ncurve = \"linear\"\nfrom = 1\nto = 0\n";
  const std::string preset = "[schedule]\npreset = \"segments\"\n";
  EXPECT_THAT(complaint_of(preset + segment + "until = 50\n" + segment + "until = 40\n"),
              HasSubstr("segment 1: expected an end after step 50, got 40"));
  EXPECT_THAT(complaint_of(preset + segment + "until = 50\n"),
              HasSubstr("expected the last segment to end with the run (step 100), got step 50"));
  EXPECT_THAT(
      complaint_of(preset + segment),
      HasSubstr("schedule.segment.0.until: expected steps (an integer) or a share of the run "
                "(\"0%\" to \"100%\"), got nothing"));
  EXPECT_THAT(
      complaint_of("[weight_decay_schedule]\npreset = \"off_midway\"\nmiddle = 100\n"),
      HasSubstr("weight_decay_schedule.preset: [schedule] segment 1: expected an end after"));
}

TEST(Fault50, WhatIsMissingIsNamed) {
  EXPECT_EQ(
      complaint(""),
      "5 mistakes in the configuration:\n"
      "a.toml: optimizer.lr: expected a number > 0 and <= 1000, got nothing\n"
      "a.toml: run.steps: expected a length of the run, run.steps or run.tokens, got neither\n"
      "a.toml: model.hidden_size: expected a number, or a published model.size, got neither\n"
      "a.toml: model.num_hidden_layers: expected a number, or a published model.size, got "
      "neither\n"
      "a.toml: data.source: expected at least one [[data.source]] with a path, got none");
  EXPECT_THAT(complaint_of("[[data.source]]\nweight = 2\n"),
              EndsWith("data.source.1.path: expected a string, got nothing"));
  EXPECT_THAT(complaint_of("[[data.source]]\npath = \"\"\n"), HasSubstr("data.source.1.path"));
}

// Syntax errors, unknown keys, types, ranges and contradictions together, in the file's order; what
// follows from another mistake is not said again.
TEST(Fault50, AllErrorsInOnePass) {
  EXPECT_EQ(
      complaint("[run]\n"
                "steps = 99999999999999999999\n"
                "[model]\n"
                "hiden_size = 64\n"
                "num_hidden_layers = 5000\n"
                "quantize = ternary\n"
                "[optimiser]\n"
                "lr = 1\n"
                "[batch]\n"
                "tokens = 1000\n"
                "context = 300\n"
                "[data]\n"
                "source = \"books\"\n"
                "[schedule]\n"
                "warmup = \"x\"\n"
                "warmup = 5\n",
                {"logging.interval=-1", "nonsense"}),
      "11 mistakes in the configuration:\n"
      "a.toml:2:29: '99999999999999999999' is not representable in 64 bits (reading a decimal "
      "integer)\n"
      "a.toml:4:1: model.hiden_size: unknown key (did you mean model.hidden_size?)\n"
      "a.toml:5:21: model.num_hidden_layers: expected an integer >= 1 and <= 1024, got 5000\n"
      "a.toml:6:13: expected 'true', saw 'te' (reading a boolean; text goes in quotes)\n"
      "a.toml:7:2: optimiser: unknown table (did you mean [optimizer]?)\n"
      "a.toml:10:10: batch.tokens: expected a multiple of batch.context = 300, got 1000\n"
      "a.toml:13:10: data.source: expected [[data.source]], got \"books\"\n"
      "a.toml:15:10: schedule.warmup: expected steps (an integer) or a share of the run (\"0%\" "
      "to \"100%\"), got \"x\"\n"
      "a.toml:16:10: cannot redefine existing string 'warmup' (reading a key-value pair)\n"
      "--set logging.interval=-1: logging.interval: expected an integer >= 0 and <= 1e9, got "
      "-1\n"
      "--set nonsense: expected key=value");
}

TEST(Fault50, OverridesAreCheckedLikeTheFile) {
  EXPECT_EQ(complaint_of_set("optimizer.learning=1"),
            "--set optimizer.learning=1: optimizer.learning: unknown key (keys of [optimizer]: lr, "
            "beta1, beta2, eps, weight_decay, clip, moments, gradients)");
  EXPECT_THAT(complaint_of_set("optimizer.lr"), EndsWith("expected key=value"));
  EXPECT_THAT(complaint_of_set("=5"), HasSubstr("unknown key"));
  EXPECT_THAT(complaint_of_set(""), HasSubstr("expected key=value"));
  EXPECT_THAT(complaint_of_set("run=5"), HasSubstr("unknown key"));
  EXPECT_THAT(complaint_of_set("optimizer.lr="), HasSubstr("got \"\""));
  EXPECT_THAT(complaint_of_set("optimizer.lr=.5.5"), HasSubstr("got \".5.5\""));
  EXPECT_THAT(complaint_of_set("optimizer.clip=-.5"), HasSubstr("got \"-.5\""));
  EXPECT_THAT(complaint_of_set("optimizer.eps=.5"), EndsWith("got \".5\" (write 0.5)"));
  EXPECT_THAT(complaint_of_set("optimizer.lr=1\nseed=3"), HasSubstr("got \"1\\nseed=3\""));
  EXPECT_THAT(complaint_of_set("data.source.path=x"),
              EndsWith("data.source: expected a list's number, data.source.0 to data.source.1"));
  EXPECT_THAT(complaint_of_set("data.source.2.path=x"),
              HasSubstr("data.source.0 to data.source.1"));
  EXPECT_THAT(complaint_of_set("data.source.-1.path=x"), HasSubstr("expected a list's number"));
  EXPECT_THAT(complaint_of_set("data.source.99999999999999999999.path=x"),
              HasSubstr("expected a list's number"));
  EXPECT_THAT(complaint_of_set("data.source.1.weight=2"),
              HasSubstr("data.source.1.path: expected a string, got nothing"));
  EXPECT_THAT(complaint_of_set("init_from.path=\xff"), HasSubstr("not UTF-8"));
}

}  // namespace
}  // namespace tern
