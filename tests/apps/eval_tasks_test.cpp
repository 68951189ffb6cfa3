// tern eval --tasks, from the command line to its files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "apps/run/open_model.h"
#include "core/backend.h"
#include "data/io/json.h"
#include "tests/apps/tiny_run.h"

namespace tern::test {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// of our own writing
const std::string kChoices =
    R"({"id": 0, "contexts": ["Question: What does a cat say?\nAnswer:"], "continuations": [" meow", " moo", " a long word"], "gold": 0}
{"id": 1, "contexts": ["Question: What does a cow say?\nAnswer:"], "continuations": [" moo", " moo"], "gold": 1}
{"id": 2, "contexts": ["The king of"], "continuations": [" France", " Spain and of nothing else", "  Ä", " war"], "gold": 1}
{"id": "last", "contexts": ["Question: What does a cat say?\nAnswer:"], "continuations": [" no", " yes"], "gold": 1}
)";
const std::string kContexts =
    R"({"id": 0, "contexts": ["Anna thanked Ben because Anna", "Anna thanked Ben because Ben"], "continuations": [" had been helped."], "gold": 0}
{"id": 1, "contexts": ["It rained; the street", "It rained; the roof of the house"], "continuations": [" was wet."], "gold": 0}
)";
const std::string kWords =
    R"({"id": 0, "contexts": ["O Romeo, Romeo, wherefore art thou"], "continuations": [" Romeo"]}
{"id": 1, "contexts": [""], "continuations": ["Good"]}
{"id": 2, "contexts": ["To be or not to "], "continuations": ["be"]}
)";

class EvalTasks : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    run_ = new TinyRun;
    ASSERT_EQ(run(run_->command("r", {"run.steps=20"})).exit_code, 0);
    checkpoint_ = run_->checkpoint("r", 20).string();
  }
  static void TearDownTestSuite() { delete run_; }

  EvalTasks() {
    write_text(room_ / "choices.jsonl", kChoices);
    write_text(room_ / "contexts.jsonl", kContexts);
    write_text(room_ / "words.jsonl", kWords);
  }

  Outcome eval(const std::string& tasks, std::vector<std::string> more = {},
               const std::string& model = "") {
    std::vector<std::string> args = {sibling_program("tern"),
                                     "eval",
                                     "--checkpoint",
                                     model.empty() ? checkpoint_ : model,
                                     "--task-dir",
                                     room_.path().string(),
                                     "--tasks",
                                     tasks};
    args.insert(args.end(), more.begin(), more.end());
    return run({.args = args, .env = {{"OMP_NUM_THREADS", "1"}}});
  }
  // the lines of --log-samples; a longer context than the training's unless `more` says otherwise
  std::vector<json> samples(const std::string& tasks, std::vector<std::string> more = {},
                            const std::string& model = "") {
    more.insert(more.end(),
                {"--log-samples", room_ / "samples.jsonl", "--output", room_ / "results.json"});
    if (std::ranges::find(more, "--max-length") == more.end())
      more.insert(more.end(), {"--max-length", "200"});
    const Outcome outcome = eval(tasks, more, model);
    if (outcome.exit_code != 0) throw std::runtime_error(outcome.err);
    table_ = outcome.out;
    std::vector<json> lines;
    std::ifstream in(room_ / "samples.jsonl");
    for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
    return lines;
  }
  json results() const { return json::parse(read_text(room_ / "results.json")); }

  static TinyRun* run_;
  static std::string checkpoint_;
  TemporaryDirectory room_;
  std::string table_;
};
TinyRun* EvalTasks::run_ = nullptr;
std::string EvalTasks::checkpoint_;

// A request of a sample as the whole model computes it, in one piece, with the last ids it takes.
double plain_sum(Model& model, const json& request, std::size_t max_length) {
  auto ids = request["context_ids"].get<std::vector<std::int32_t>>();
  const auto k = request["continuation_ids"].get<std::vector<std::int32_t>>();
  ids.insert(ids.end(), k.begin(), k.end());
  if (ids.size() > max_length + 1)
    ids.erase(ids.begin(), ids.end() - std::ptrdiff_t(max_length + 1));
  ids.pop_back();
  const Index T = Index(ids.size()), V = model.config().vocab_size;
  const auto logits = download_real(model.logits({}, upload_ids(model.backend(), {1, T}, ids)));
  double sum = 0;
  for (std::size_t i = 0; i < k.size(); ++i) {
    const double* row = &logits[(ids.size() - k.size() + i) * std::size_t(V)];
    double all = 0;
    for (Index v = 0; v < V; ++v) all += std::exp(row[v] - row[k[i]]);
    sum -= std::log(all);
  }
  return sum;
}

TEST_F(EvalTasks, ScoresAreThoseOfEachTextAlone) {
  for (const std::string length : {"200", "27"})
    for (const std::string dtype : {"f64", "f32"}) {
      const auto lines =
          samples("words,contexts,choices", {"--dtype", dtype, "--max-length", length});
      SavedModel saved = open_model(checkpoint_);
      saved.config.dtype = Precision::f64;
      const LoadedModel loaded = load_model(saved, Device("cpu"), [](Model& model) {
        model.logits({}, upload_ids(model.backend(), {1, 200}, std::vector<std::int32_t>(200)));
      });
      std::vector<double> differences;
      for (const json& line : lines)
        for (const json& request : line["requests"])
          differences.push_back(std::abs(request["loglikelihood"].get<double>() -
                                         plain_sum(*loaded.model, request, std::stoul(length))));
      EXPECT_EQ(differences.size(), 3u + 4 + 11);
      const double most = *std::ranges::max_element(differences);
      EXPECT_LE(most, dtype == "f64" ? 1e-12 : 0.3) << dtype << ' ' << length;
      EXPECT_EQ(most > 1e-9, dtype == "f32") << length << ": computed in f32";
    }
}

TEST_F(EvalTasks, MetricsAreThoseOfTheSamples) {
  const auto lines = samples("choices,words", {"--dtype", "f64"});
  const json all = results(), choices = all["results"]["choices"], words = all["results"]["words"];
  for (const std::string metric : {"acc", "acc_norm", "acc_bytes"}) {
    double sum = 0, squares = 0;
    for (int i = 0; i < 4; ++i) sum += lines[std::size_t(i)][metric].get<double>() / 4;
    for (int i = 0; i < 4; ++i)
      squares += std::pow(lines[std::size_t(i)][metric].get<double>() - sum, 2);
    EXPECT_DOUBLE_EQ(choices[metric + ",none"].get<double>(), sum) << metric;
    EXPECT_DOUBLE_EQ(choices[metric + "_stderr,none"].get<double>(), std::sqrt(squares / 3 / 4));
    EXPECT_EQ(all["higher_is_better"]["choices"][metric], true);
  }
  double mean = 0;
  for (std::size_t i = 4; i < 7; ++i)
    mean += lines[i]["requests"][0]["loglikelihood"].get<double>() / 3;
  EXPECT_NEAR(words["perplexity,none"].get<double>() / std::exp(-mean), 1, 1e-12);
  EXPECT_EQ(words["perplexity_stderr,none"], "N/A");
  EXPECT_EQ(all["higher_is_better"]["words"]["perplexity"], false);
  EXPECT_EQ(lines[1]["prediction"], 0) << "of equals the first";
  EXPECT_EQ(lines[1]["acc"], 0.0);
  EXPECT_EQ(lines[3]["doc_id"], "last");
  EXPECT_EQ(lines[4]["acc"].get<double>(),
            double(lines[4]["requests"][0]["is_greedy"].get<bool>()));
  EXPECT_FALSE(lines[4].contains("gold"));
  EXPECT_THAT(table_, AllOf(HasSubstr("choices       4  acc "), HasSubstr("perplexity"),
                            HasSubstr("0.3958\n"), HasSubstr("acc_bytes")));
}

TEST_F(EvalTasks, ResultsHaveTheHarnesssLayout) {
  write_text(room_ / "boolq.jsonl", kChoices);
  samples("boolq,contexts", {"--limit", "2"});
  const json all = results();
  EXPECT_EQ(all["results"]["boolq"]["alias"], "boolq");
  EXPECT_EQ(all["results"]["boolq"]["sample_len"], 2);
  EXPECT_FALSE(all["results"]["boolq"].contains("acc_norm,none"));
  EXPECT_EQ(all["n-samples"]["boolq"], json({{"original", 4}, {"effective", 2}}));
  EXPECT_EQ(all["n-samples"]["contexts"], json({{"original", 2}, {"effective", 2}}));
  EXPECT_EQ(all["versions"]["boolq"], 2.0);
  EXPECT_EQ(all["versions"]["contexts"], "N/A");
  EXPECT_EQ(all["n-shot"]["boolq"], 0);
  EXPECT_EQ(all["config"]["limit"], 2);
  EXPECT_EQ(all["config"]["model"], "tern");
  EXPECT_EQ(all["config"]["add_bos_token"], true);
  EXPECT_EQ(all["config"]["max_length"], 200);
  EXPECT_EQ(all["model_name"], checkpoint_);
  EXPECT_EQ(all["model_name_sanitized"].get<std::string>().find('/'), std::string::npos);
  EXPECT_TRUE(all["date"].is_number());
  EXPECT_EQ(all["configs"]["boolq"]["output_type"], "multiple_choice");
  EXPECT_EQ(all["skipped"]["boolq"], json::array());
}

TEST_F(EvalTasks, BosIsAsTheModelWasTrainedOrAsTyped) {
  const auto first = [&](const std::vector<std::string>& more, const std::string& model = "") {
    return samples("choices", more, model)[0]["requests"][0]["context_ids"][0].get<int>();
  };
  EXPECT_EQ(first({}), 1);
  EXPECT_THAT(table_, HasSubstr("bos          on (documents of the training data began with it)"));
  EXPECT_EQ(first({"--bos", "on"}), 1);
  EXPECT_NE(first({"--bos", "off"}), 1);
  EXPECT_THAT(table_, HasSubstr("bos          off (--bos off)"));
  const std::string folder = room_ / "folder";
  ASSERT_EQ(run({.args = {sibling_program("tern"), "export", "--checkpoint", checkpoint_, "--to",
                          "hf", "--out", folder}})
                .exit_code,
            0);
  EXPECT_EQ(first({}, folder), 1) << "config.json: document_bos";
  json config = json::parse(read_text(folder + "/config.json"));
  config.erase("document_bos");
  write_text(folder + "/config.json", config.dump());
  EXPECT_NE(first({}, folder), 1);
  EXPECT_THAT(table_, HasSubstr("bos          off (tokenizer.json: post_processor)"));
}

TEST_F(EvalTasks, TheModelStatesItsLength) {
  const Outcome outcome = eval("words");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("max length   16 tokens ("));
  EXPECT_THAT(eval("choices", {"--max-length", "2"}).err,
              HasSubstr("expected at most --max-length, 2"));
}

using Fault71 = EvalTasks;

TEST_F(Fault71, BadItemsAreWarnedOfOrEndIt) {
  std::string many;
  for (int i = 0; i < 150; ++i)
    many += R"({"id": )" + std::to_string(i) +
            R"(, "contexts": ["a"], "continuations": [" b", " c"], "gold": )" +
            (i == 5 ? "2" : "1") + "}\n";
  write_text(room_ / "many.jsonl", many);
  const Outcome few = eval("many", {"--output", room_ / "results.json"});
  EXPECT_EQ(few.exit_code, 0) << few.err;
  EXPECT_THAT(few.err,
              HasSubstr("tern: warning: many: skipped item 5: gold: expected 0 to 1, got 2"));
  EXPECT_EQ(results()["n-samples"]["many"], json({{"original", 150}, {"effective", 149}}));
  EXPECT_EQ(results()["skipped"]["many"].size(), 1u);
  const Outcome refused = eval("many", {"--limit", "50"});
  EXPECT_EQ(refused.exit_code, 3);
  EXPECT_EQ(refused.out, "");
  EXPECT_THAT(refused.err, HasSubstr("1 of 50 items cannot be scored"));
  write_text(room_ / "broken.jsonl", kChoices + "{\"id\": 4}\n");
  const Outcome broken = eval("broken");
  EXPECT_EQ(broken.exit_code, 3);
  EXPECT_THAT(broken.err, HasSubstr("broken.jsonl:5: the key \"contexts\" is missing"));
  const Outcome missing = eval("nothing");
  EXPECT_EQ(missing.exit_code, 3);
  EXPECT_THAT(missing.err, HasSubstr("tasks there: broken, choices, contexts, many, words"));
}

TEST_F(EvalTasks, MistakesOfTheCommandLineAreNamed) {
  const auto refused = [&](std::vector<std::string> args, const std::string& text) {
    args.insert(args.begin(), {sibling_program("tern"), "eval", "--checkpoint", checkpoint_});
    const Outcome outcome = run({.args = args});
    EXPECT_EQ(outcome.exit_code, 2) << testing::PrintToString(args);
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, HasSubstr(text));
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
  };
  const std::string corpus = tiny_corpus().string(), room = room_.path().string();
  refused({}, "expected --data or --tasks, got neither");
  refused({"--data", corpus, "--tasks", "a"}, "expected --data or --tasks, got both");
  refused({"--tasks", "choices"}, "--task-dir is missing");
  refused({"--data", corpus, "--limit", "3"}, "--limit: goes with --tasks only");
  refused({"--data", corpus, "--dtype", "f64"}, "--dtype: goes with --tasks only");
  refused({"--tasks", "a", "--task-dir", room, "--train-split"}, "--train-split: goes with --data");
  refused({"--tasks", "a,,b", "--task-dir", room}, "--tasks: expected names with commas between");
  refused({"--tasks", "", "--task-dir", room}, "--tasks: expected names with commas between");
  refused({"--tasks", "a,b,a", "--task-dir", room}, "--tasks: a: expected once, got it twice");
  refused({"--tasks", "a", "--task-dir", room, "--limit", "0"}, "--limit: expected 1 to");
  refused({"--tasks", "a", "--task-dir", room, "--max-length", "0"}, "--max-length: expected 1 to");
  refused({"--tasks", "a", "--task-dir", room, "--bos", "yes"}, "--bos: expected one of");
  refused({"--tasks", "a", "--task-dir", room, "--dtype", "bf16"}, "--dtype: expected one of");
}

TEST_F(EvalTasks, AModelWithoutBosRefusesIt) {
  ASSERT_EQ(run({.args = {sibling_program("tern"), "export", "--checkpoint", checkpoint_, "--to",
                          "hf", "--out", room_ / "folder"}})
                .exit_code,
            0);
  const std::string folder = room_ / "folder";
  std::filesystem::remove(folder + "/tokenizer.model");
  json config = json::parse(read_text(folder + "/tokenizer_config.json"));
  config["bos_token"] = nullptr;
  write_text(folder + "/tokenizer_config.json", config.dump());
  const Outcome refused = eval("words", {"--bos", "on"}, folder);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("this tokenizer has no bos: expected --bos off"));
  const auto lines = samples("words", {}, folder);
  EXPECT_EQ(lines[1]["requests"][0]["context_ids"], json({2})) << "an empty context is eos";
  EXPECT_THAT(table_, HasSubstr("bos          off"));
}

TEST_F(EvalTasks, FilesThatCannotBeWrittenAreNamedBeforeTheWork) {
  const Outcome outcome = eval("nothing", {"--output", room_ / "no/results.json"});
  EXPECT_EQ(outcome.exit_code, 6);
  EXPECT_THAT(outcome.err, HasSubstr("no/results.json"));
  EXPECT_EQ(outcome.out, "");
}

}  // namespace
}  // namespace tern::test
