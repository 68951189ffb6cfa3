// Where a text stands, saved and taken up again: n tokens and then m are the same as n + m.
#include "runtime/state_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/run/open_model.h"
#include "core/backend.h"
#include "runtime/huggingface.h"
#include "runtime/packed_model.h"
#include "tests/apps/tiny_run.h"

namespace tern::test {
namespace {

using testing::HasSubstr;
using Ids = std::vector<std::int32_t>;
namespace fs = std::filesystem;

constexpr std::int64_t kPositions = 200;

LoadedModel load(const SavedModel& saved) {
  return load_model(saved, Device("cpu"),
                    [](Model& model) { Generator(model, {}, kPositions).rehearse(); });
}

// A generator of a model, with what it needs.
struct Writer {
  Writer(const SavedModel& from, const Sampling& sampling)
      : saved(from),
        loaded(load(saved)),
        generator(*loaded.model, sampling, kPositions),
        text(generator, *saved.tokenizer, saved.documents) {}

  Ids draw(int count) {
    Ids ids;
    for (int i = 0; i < count; ++i) ids.push_back(generator.next());
    return ids;
  }
  std::string write(std::int64_t tokens) {
    std::string out;
    text.write({.tokens = tokens}, [&](const std::string& part) { out += part; });
    return out;
  }
  void save(const fs::path& to) const { save_state(to, text, owner_of(saved)); }
  void take_up(const fs::path& from) {
    StateFile::open(from, owner_of(saved), saved.config.model).load(text);
  }

  SavedModel saved;
  LoadedModel loaded;
  Generator generator;
  TextGenerator text;
};

// All bytes that are saved of a state.
std::string bytes_of(const Writer& writer, const fs::path& room) {
  writer.save(room / "bytes");
  return read_text(room / "bytes");
}

struct StateForm {
  std::string name;
  std::vector<std::string> overrides;
  std::string as = "checkpoint";  // or "packed", "folder"
  friend std::ostream& operator<<(std::ostream& out, const StateForm& f) { return out << f.name; }
};

class StateRoundTrip : public testing::TestWithParam<StateForm> {
 protected:
  static SavedModel model(const TinyRun& tiny) {
    std::vector<std::string> overrides = GetParam().overrides;
    overrides.push_back("run.steps=3");
    const Outcome outcome = run(tiny.command("a", overrides));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    const SavedModel saved = open_model(tiny.directory("a"));
    if (GetParam().as == "folder") {
      export_huggingface(saved, tiny.room() / "hf", {.card = std::string(kWrittenBy)});
      return open_model(tiny.room() / "hf");
    }
    if (GetParam().as == "checkpoint") return saved;
    const fs::path to = tiny.room() / "m.safetensors";
    export_packed(saved, to, {.version = "test"});
    return open_model(to);
  }
};

const std::vector<std::string> kTransformer = {"model.type=transformer",
                                               "model.num_attention_heads=2"};
INSTANTIATE_TEST_SUITE_P(
    Forms, StateRoundTrip,
    testing::Values(StateForm{"checkpoint", {}}, StateForm{"packed", {}, "packed"},
                    StateForm{"folder", {}, "folder"}, StateForm{"f64", {"precision.dtype=f64"}},
                    StateForm{"two_tensors", {"model.type=cumulative_mean"}},
                    StateForm{"transformer", kTransformer},
                    StateForm{"transformer_packed", kTransformer, "packed"},
                    StateForm{"dense",
                              {"model.type=transformer", "model.num_attention_heads=2",
                               "model.quantize=none"}}),
    [](const auto& form) { return form.param.name; });

TEST_P(StateRoundTrip, SavedAndTakenUpItDrawsTheSameTokens) {
  const TinyRun tiny;
  const SavedModel saved = model(tiny);
  const fs::path file = tiny.room() / "state";
  // longer than a part of a prompt, and than a cache is at first
  const std::string prompt = read_text("configs/demo/tinyshakespeare.txt").substr(0, 150);
  for (const Sampling& sampling :
       {Sampling{.temperature = 0}, Sampling{.temperature = 1.5, .seed = 7}}) {
    for (const int n : {0, 1, 12}) {
      constexpr int m = 15;
      Writer whole(saved, sampling);
      whole.text.read(prompt);
      const Ids expected = whole.draw(n + m);
      Ids got;
      {
        Writer first(saved, sampling);
        first.text.read(prompt);
        got = first.draw(n);
        first.save(file);
      }
      Writer second(saved, sampling);
      second.take_up(file);
      EXPECT_EQ(bytes_of(second, tiny.room()), read_text(file)) << "what was saved";
      second.text.read("");
      const Ids more = second.draw(m);
      got.insert(got.end(), more.begin(), more.end());
      EXPECT_EQ(got, expected) << "n = " << n << ", temperature " << sampling.temperature;
      EXPECT_EQ(bytes_of(second, tiny.room()), bytes_of(whole, tiny.room()))
          << "the states are equal bit for bit";
    }
  }
}

TEST_P(StateRoundTrip, TextOnTopIsReadAsInOneRun) {
  const TinyRun tiny;
  const SavedModel saved = model(tiny);
  Writer whole(saved, {.seed = 1});
  whole.text.read("ROMEO:");
  const std::string first = whole.write(5);
  whole.text.read("\nJULIET:");
  const std::string expected = whole.write(20);
  Writer before(saved, {.seed = 1}), after(saved, {.seed = 1});
  before.text.read("ROMEO:");
  EXPECT_EQ(before.write(5), first);
  before.save(tiny.room() / "state");
  after.take_up(tiny.room() / "state");
  after.text.read("\nJULIET:");
  EXPECT_EQ(after.write(20), expected);
}

class StateFiles : public testing::Test {
 protected:
  StateFiles() {
    const Outcome outcome = run(tiny.command("a", {"run.steps=3"}));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    saved = open_model(tiny.directory("a"));
  }
  TinyRun tiny;
  SavedModel saved;
};

// One of 64 sequences that were continued together is saved, and goes on alone as it would have.
TEST_F(StateFiles, OneOfManySequencesGoesOnFromAFile) {
  export_packed(saved, tiny.room() / "m.safetensors", {.version = "test"});
  for (const SavedModel& from : {saved, open_model(tiny.room() / "m.safetensors")}) {
    constexpr std::size_t kStreams = 64, kMine = 41;
    const Sampling likeliest{.temperature = 0};
    Writer alone(from, likeliest), after(from, likeliest), saver(from, likeliest);
    const std::string text = read_text("configs/demo/tinyshakespeare.txt");
    Model& model = *alone.loaded.model;
    ModelState batch = model.new_state(kStreams);
    Ids now;
    for (std::size_t s = 0; s < kStreams; ++s) {
      Generator one(model, likeliest);
      const Ids prompt = from.tokenizer->encode(text.substr(100 * s, 20 + s));
      one.read(prompt);
      if (s == kMine) alone.generator.read(prompt);
      now.push_back(prompt.back());
      const GeneratorState state = one.state();
      for (std::size_t l = 0; l < batch.size(); ++l)
        model.backend().copy(batch[l].tensors[0].slice(Index(s), 1), state.model[l].tensors[0]);
    }
    {
      Decoding decoding(model, batch, likeliest);
      for (int i = 0; i < 9; ++i) now = decoding.next(now, 0);
    }
    const Index mine = kMine;
    GeneratorState state{.model = select(batch, {&mine, 1}), .unread = now[kMine], .drawn = 9};
    saver.generator.set_state(state);
    saver.save(tiny.room() / "state");
    after.take_up(tiny.room() / "state");
    EXPECT_EQ(alone.draw(9).back(), now[kMine]);
    EXPECT_EQ(after.draw(20), alone.draw(20));
    const GeneratorState a = after.generator.state(), b = alone.generator.state();
    for (std::size_t l = 0; l < a.model.size(); ++l)
      EXPECT_EQ(download_real(a.model[l].tensors[0]), download_real(b.model[l].tensors[0])) << l;
  }
}

TEST_F(StateFiles, AnIncompleteCharacterGoesAlong) {
  Writer before(saved, {}), after(saved, {});
  std::string shown;
  const auto show = [&](const std::string& text) { shown += text; };
  before.text.read("x\xe4\xbd", show);
  EXPECT_EQ(shown, "x");
  before.save(tiny.room() / "state");
  after.take_up(tiny.room() / "state");
  after.text.read("\xa0y", show);
  EXPECT_EQ(shown, "x\u4f60y");
}

TEST_F(StateFiles, AfterTheEndOfADocumentAnotherBegins) {
  const std::int32_t bos = saved.tokenizer->bos_id(), eos = saved.tokenizer->eos_id();
  Writer writer(saved, {});
  writer.text.read("ab");
  GeneratorState state = writer.generator.state();
  const Index steps = state.model[0].steps;
  state.unread = eos;
  writer.generator.set_state(state);
  writer.text.read("");
  EXPECT_EQ(writer.generator.last(), bos);
  EXPECT_EQ(writer.generator.state().model[0].steps, steps + 1) << "eos was read";
  writer.text.read("a");
  EXPECT_EQ(writer.generator.last(), saved.tokenizer->encode("a")[0]) << "no second bos";
  EXPECT_EQ(writer.generator.state().model[0].steps, steps + 2);
}

// Documents with one of bos and eos: it stands between two of them, once.
TEST_F(StateFiles, WhatDividesDocumentsIsReadOnce) {
  for (const bool bos : {true, false}) {
    saved.documents = {.bos = bos, .eos = !bos};
    Writer writer(saved, {});
    const auto steps = [&] { return writer.generator.state().model[0].steps; };
    writer.text.read("");
    EXPECT_EQ(writer.generator.last(), bos ? saved.tokenizer->bos_id() : saved.tokenizer->eos_id());
    writer.text.read("");
    EXPECT_EQ(steps(), 0);
    writer.text.read("ab");
    EXPECT_EQ(steps(), Index(saved.tokenizer->encode("ab").size()));
  }
}

TEST_F(StateFiles, InsideADocumentThereIsNoBos) {
  Writer writer(saved, {});
  writer.text.read("a");
  writer.text.read("");
  EXPECT_EQ(writer.generator.state().model[0].steps, 1) << "bos; a is not read yet";
  writer.text.read("b");
  EXPECT_EQ(writer.generator.state().model[0].steps, 2);
}

// A state that a GPU wrote has other types.
TEST_F(StateFiles, NumbersOfAnotherTypeAreConverted) {
  SavedModel wide = saved;
  wide.config.dtype = Precision::f64;
  Writer before(saved, {.temperature = 0}), after(wide, {.temperature = 0});
  before.text.read("ROMEO:");
  before.save(tiny.room() / "state");
  after.take_up(tiny.room() / "state");
  const std::vector<double> expected = download_real(before.generator.state().model[1].tensors[0]);
  EXPECT_EQ(download_real(after.generator.state().model[1].tensors[0]), expected);
  EXPECT_EQ(after.draw(5), before.draw(5));
}

// 24 layers of 1024 numbers, as docs/generation.md says.
TEST_F(StateFiles, AStateIsAsLargeAsTheModelIsWideAndDeep) {
  Writer writer(saved, {});
  writer.text.read("a");
  const std::size_t once = bytes_of(writer, tiny.room()).size();
  writer.draw(100);
  EXPECT_EQ(bytes_of(writer, tiny.room()).size(), once);
  EXPECT_EQ(SafetensorsFile::open(tiny.room() / "bytes").entry("layers.1.state.0").bytes, 16u * 4);
}

TEST_F(StateFiles, AFingerprintIsOfWeightsAndConfiguration) {
  EXPECT_EQ(fingerprint_of(saved), fingerprint_of(open_model(tiny.checkpoint("a", 3))));
  ASSERT_EQ(run(tiny.command("b", {"run.steps=4"})).exit_code, 0);
  EXPECT_NE(fingerprint_of(saved), fingerprint_of(open_model(tiny.directory("b"))));
  const auto changed = [&](const std::function<void(Manifest&)>& change) {
    SavedModel other = saved;
    change(*other.manifest);
    return fingerprint_of(other) != fingerprint_of(saved);
  };
  const auto rehash = [](Manifest& m, const std::string& name) {
    std::ranges::find(m.tensors, name, &StoredTensor::name)->pieces.back().hash[5] ^= 1;
  };
  EXPECT_FALSE(changed([](Manifest&) {}));
  EXPECT_TRUE(changed([&](Manifest& m) { rehash(m, "lm_head.weight"); }));
  EXPECT_TRUE(changed([&](Manifest& m) { rehash(m, "model.norm.weight"); }));
  EXPECT_TRUE(changed([](Manifest& m) { m.config["toml"] = "other"; }));
  EXPECT_FALSE(changed([&](Manifest& m) { rehash(m, "first_moment.lm_head.weight"); }));
  const fs::path folder = tiny.room() / "hf";
  export_huggingface(saved, folder, {.card = std::string(kWrittenBy)});
  const std::string before = fingerprint_of(open_model(folder));
  EXPECT_EQ(fingerprint_of(open_model(folder)), before);
  std::string weights = read_text(folder / "model.safetensors");
  weights[weights.size() - 4] ^= 1;
  write_text(folder / "model.safetensors", weights);
  EXPECT_NE(fingerprint_of(open_model(folder)), before) << "one bit of a weight";
}

TEST_F(StateFiles, StopTextsAndInterruptsEndAnAnswer) {
  Writer whole(saved, {.temperature = 1.5});
  whole.text.read("a");
  const std::string text = whole.write(60);
  for (const std::size_t at : {std::size_t(3), text.size() / 2}) {
    const std::string stop = text.substr(at, 6);
    Writer writer(saved, {.temperature = 1.5});
    writer.text.read("a");
    std::string shown;
    writer.text.write({.tokens = 60, .stops = {"nowhere!", stop}},
                      [&](const std::string& part) { shown += part; });
    EXPECT_EQ(shown, text.substr(0, text.find(stop)));
  }
  Writer writer(saved, {.temperature = 1.5});
  writer.text.read("a");
  int asked = 0;
  writer.text.write({.tokens = 60, .interrupted = [&] { return ++asked > 3; }},
                    [](const std::string&) {});
  EXPECT_EQ(writer.generator.state().drawn, 3u);
}

}  // namespace
}  // namespace tern::test
