// Items of zero-shot tasks, their requests and metrics, by hand.
#include "runtime/zero_shot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/apps/tiny_run.h"
#include "tests/support/complaint.h"

namespace tern::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Ids = std::vector<std::int32_t>;

const std::string kItem =
    R"({"id": 0, "contexts": ["A cat says"], "continuations": [" meow", " moo"], "gold": 0})";

ZeroShotItem scored(std::vector<std::string> continuations, std::vector<double> sums,
                    std::int64_t gold) {
  ZeroShotItem item{
      .item = {
          .id = 0, .contexts = {"x"}, .continuations = std::move(continuations), .gold = gold}};
  for (const double sum : sums) item.likelihoods.push_back({.log_likelihood = sum});
  item.requests.resize(sums.size());
  return item;
}

std::vector<std::size_t> predictions(const ZeroShotItem& item) {
  std::vector<std::size_t> out;
  for (const Answer& a : answers_of(item)) out.push_back(a.prediction);
  return out;
}

TEST(ZeroShot, ChoicesAreComparedBySumPerCharacterAndPerByte) {
  // " ab": 2 characters, 2 bytes; " äöü": 3 and 6; "  abcdefgh": 9 and 9 (a second space counts)
  const auto item = scored({" ab", " äöü", "  abcdefgh"}, {-4, -4.5, -13}, 1);
  EXPECT_THAT(predictions(item), ElementsAre(0, 2, 1));  // -2, -1.5, -1.44; -2, -0.75, -1.44
  const auto answers = answers_of(item);
  EXPECT_EQ(answers[2].metric, "acc_bytes");
  EXPECT_FALSE(answers[0].right);
  EXPECT_TRUE(answers[2].right);
}

TEST(ZeroShot, OfEqualsTheFirstIsTaken) {
  EXPECT_THAT(predictions(scored({" b", " a", " b"}, {-3, -2, -2}, 0)), ElementsAre(1, 1, 1));
  EXPECT_THAT(predictions(scored({" b", " a"}, {-2, -2}, 1)), ElementsAre(0, 0, 0));
}

TEST(ZeroShot, MetricsHaveTheErrorsOfTheirMeans) {
  ZeroShotItems task{.task = {.name = "t", .norms = true}};
  for (const std::int64_t gold : {0, 0, 0, 1})
    task.items.push_back(scored({" aa", " b"}, {-1, -2}, gold));
  task.items.push_back(scored({" a", " b", " c"}, {-1, -2, -3}, 0));
  const auto metrics = metrics_of(task);
  ASSERT_EQ(metrics.size(), 3u);
  EXPECT_EQ(metrics[0].name, "acc");
  EXPECT_DOUBLE_EQ(metrics[0].value, 0.8);
  EXPECT_DOUBLE_EQ(*metrics[0].error, std::sqrt(0.8 / 4 / 5));  // 4 * 0.04 + 0.64
  EXPECT_DOUBLE_EQ(*chance_of(task), (4 * 0.5 + 1.0 / 3) / 5);
  task.task.norms = false;
  EXPECT_EQ(metrics_of(task).size(), 1u);
  task.items.resize(1);
  EXPECT_FALSE(metrics_of(task)[0].error) << "of one item";
}

TEST(ZeroShot, WithoutGoldPerplexityIsPerItem) {
  ZeroShotItems task{.task = {.name = "t", .multiple_choice = false}};
  for (const double sum : {-1.0, -4.0}) {
    ZeroShotItem item = scored({" x"}, {sum}, 0);
    item.item.gold.reset();
    item.likelihoods[0].greedy = sum == -1;
    task.items.push_back(item);
  }
  const auto metrics = metrics_of(task);
  ASSERT_EQ(metrics.size(), 2u);
  EXPECT_EQ(metrics[0].value, 0.5);
  EXPECT_DOUBLE_EQ(*metrics[0].error, 0.5);
  EXPECT_EQ(metrics[1].name, "perplexity");
  EXPECT_DOUBLE_EQ(metrics[1].value, std::exp(2.5));
  EXPECT_FALSE(metrics[1].higher_is_better);
  EXPECT_FALSE(chance_of(task));
}

class TaskFile : public testing::Test {
 protected:
  ZeroShotTask read(const std::string& text, const std::string& name = "mine") {
    write_text(room_ / (name + ".jsonl"), text);
    return read_task(room_.path(), name);
  }
  TemporaryDirectory room_;
};

TEST_F(TaskFile, IsReadAsItIsAndCompressed) {
  const ZeroShotTask task = read(kItem + "\n\n" + kItem + "\n");
  EXPECT_EQ(task.items.size(), 2u);
  EXPECT_EQ(task.items[1].continuation(1), " moo");
  EXPECT_EQ(task.items[1].choice(1), "moo");
  EXPECT_EQ(task.items[0].gold, 0);
  EXPECT_TRUE(task.multiple_choice);
  EXPECT_TRUE(task.norms);
  ASSERT_EQ(run({.args = {"gzip", room_ / "mine.jsonl"}}).exit_code, 0);
  const ZeroShotTask packed = read_task(room_.path(), "mine");
  EXPECT_EQ(packed.items.size(), 2u);
  EXPECT_EQ(packed.file, room_ / "mine.jsonl.gz");
  for (const std::string ending : {".xz", ".zst"}) {
    write_text(room_ / ("broken.jsonl" + ending), kItem);
    EXPECT_THAT(complaint([&] { read_task(room_.path(), "broken"); }),
                HasSubstr("broken.jsonl" + ending));
    std::filesystem::remove(room_ / ("broken.jsonl" + ending));
  }
}

TEST_F(TaskFile, TheKindFollowsFromTheItems) {
  const ZeroShotTask words = read(R"({"id": "a", "contexts": ["x"], "continuations": [" y"]})");
  EXPECT_FALSE(words.multiple_choice);
  EXPECT_FALSE(words.norms);
  const ZeroShotTask contexts =
      read(R"({"id": 1, "contexts": ["x", "y"], "continuations": [" z"], "gold": 1})");
  EXPECT_TRUE(contexts.multiple_choice);
  EXPECT_FALSE(contexts.norms) << "the continuation is the same";
  EXPECT_EQ(contexts.items[0].requests(), 2u);
  EXPECT_EQ(contexts.items[0].context(1), "y");
  EXPECT_EQ(contexts.items[0].continuation(1), " z");
  EXPECT_TRUE(read(kItem, "piqa").norms);
  EXPECT_FALSE(read(kItem, "boolq").norms) << "as lm-evaluation-harness reports it";
  EXPECT_EQ(read(kItem, "boolq").version, 2);
}

TEST_F(TaskFile, LinesThatAreNoItemsAreNamed) {
  const auto expect = [&](const std::string& line, const std::string& text) {
    EXPECT_THAT(complaint([&] { read(kItem + '\n' + line + '\n'); }),
                AllOf(HasSubstr("mine.jsonl:2: "), HasSubstr(text)))
        << line;
  };
  expect("{\"id\": 1, ", "not valid JSON");
  expect("[1]", "expected an object, got array");
  expect(R"({"contexts": ["x"], "continuations": [" y"]})", "the key \"id\" is missing");
  expect(R"({"id": 1, "continuations": [" y"]})", "the key \"contexts\" is missing");
  expect(R"({"id": 1, "contexts": ["x"]})", "the key \"continuations\" is missing");
  expect(R"({"id": 1.5, "contexts": ["x"], "continuations": [" y"]})",
         "id: expected a whole number or text, got number");
  expect(R"({"id": 1, "contexts": "x", "continuations": [" y"]})",
         "contexts: expected a list of texts, got string");
  expect(R"({"id": 1, "contexts": ["x"], "continuations": [2]})",
         "continuations: expected texts, got number");
  expect(R"({"id": 1, "contexts": ["x"], "continuations": [" y"], "gold": "0"})",
         "gold: expected a whole number, got string");
  expect(R"({"id": 1, "contexts": ["x"], "continuations": [" y"]})",
         "expected every item of a task to have gold, or none");
  EXPECT_THAT(complaint([&] { read("\n"); }), HasSubstr("expected items, got an empty file"));
}

TEST_F(TaskFile, AMissingTaskNamesThoseThatAreThere) {
  EXPECT_THAT(complaint([&] { read_task(room_.path(), "mine"); }),
              HasSubstr("no task 'mine': expected mine.jsonl (or .jsonl.xz, .jsonl.gz, .jsonl.zst) "
                        "in --task-dir; tasks there: none"));
  read(kItem, "b");
  read(kItem, "a");
  EXPECT_THAT(complaint([&] { read_task(room_.path(), "c"); }), HasSubstr("tasks there: a, b"));
  EXPECT_THAT(complaint([&] { read_task(room_.path(), "../x"); }),
              HasSubstr("--tasks: '../x': expected a name of letters"));
}

TEST(ZeroShotItem, WhatCannotBeScoredIsSaid) {
  const auto problem = [](std::vector<std::string> contexts, std::vector<std::string> continuations,
                          std::optional<std::int64_t> gold) {
    return problem_of(TaskItem{0, std::move(contexts), std::move(continuations), gold});
  };
  EXPECT_EQ(problem({"x"}, {" y", " z"}, 1), "");
  EXPECT_EQ(problem({"x", "y"}, {" z"}, 1), "");
  EXPECT_EQ(problem({"x", "y"}, {" z", " w"}, 1), "");
  EXPECT_EQ(problem({"x"}, {"\n"}, {}), "");
  EXPECT_EQ(problem({}, {" y"}, 0), "no contexts");
  EXPECT_EQ(problem({"x"}, {}, 0), "no continuations");
  EXPECT_EQ(problem({"x", "y"}, {" a", " b", " c"}, 0),
            "2 contexts and 3 continuations: expected as many, or one");
  EXPECT_EQ(problem({"x"}, {" y", ""}, 0), "choice 1 is empty");
  EXPECT_EQ(problem({"x"}, {" y", " "}, 0), "choice 1 is empty");
  EXPECT_EQ(problem({"x"}, {" y", " z"}, 2), "gold: expected 0 to 1, got 2");
  EXPECT_EQ(problem({"x"}, {" y", " z"}, -1), "gold: expected 0 to 1, got -1");
  EXPECT_EQ(problem({"x"}, {" y", " z"}, {}),
            "without gold: expected one context and one continuation");
}

class Encoded : public testing::Test {
 protected:
  Encoded() : tokenizer_(Tokenizer::load(tiny_corpus() / "tokenizer.model")) {}
  LikelihoodRequest encode(const std::string& context, const std::string& continuation,
                           bool bos = true) {
    return RequestEncoder(tokenizer_, bos).encode(context, continuation);
  }
  Ids ids(const std::string& text, bool bos = false) const {
    Ids out = tokenizer_.encode(text);
    if (bos) out.insert(out.begin(), tokenizer_.bos_id());
    return out;
  }
  Tokenizer tokenizer_;
};

TEST_F(Encoded, PiecesAreThoseOfTheWholeText) {
  const LikelihoodRequest on = encode("What is", " the matter?");
  EXPECT_EQ(on.context, ids("What is", true));
  Ids whole = on.context;
  whole.insert(whole.end(), on.continuation.begin(), on.continuation.end());
  EXPECT_EQ(whole, ids("What is the matter?", true));
  const LikelihoodRequest off = encode("What is", " the matter?", false);
  EXPECT_EQ(off.context, ids("What is"));
  EXPECT_EQ(off.continuation, on.continuation);
}

TEST_F(Encoded, WhiteSpaceAtTheEndOfTheContextMoves) {
  for (const std::string space : {" ", "\n", " \t\r\n", "\u3000", " \u00a0", "\u2028", "\x1c"}) {
    const LikelihoodRequest got = encode("What is" + space, "the matter?");
    EXPECT_EQ(got.context, ids("What is", true)) << space;
    const Ids whole = ids("What is" + space + "the matter?", true);
    EXPECT_EQ(got.continuation,
              Ids(whole.begin() + std::ptrdiff_t(got.context.size()), whole.end()))
        << space;
  }
}

TEST_F(Encoded, AnEmptyContextIsOneToken) {
  for (const bool bos : {true, false}) {
    const LikelihoodRequest got = encode("", "the matter", bos);
    EXPECT_THAT(got.context, ElementsAre(tokenizer_.bos_id()));
    EXPECT_EQ(got.continuation, ids("the matter"));
  }
  EXPECT_THAT(encode(" ", "x").context, ElementsAre(tokenizer_.bos_id()));
  const LikelihoodRequest nothing = encode(" ", "x", false);
  EXPECT_THAT(nothing.context, IsEmpty());
  EXPECT_EQ(problem_of(nothing, 16), "its context has no token");
  EXPECT_EQ(problem_of(LikelihoodRequest{{1}, {}}, 16), "no token of its continuation is left");
}

TEST_F(Encoded, LongTextsKeepTheirEnd) {
  const LikelihoodRequest request{{1, 2, 3, 4, 5}, {6, 7, 8}};
  EXPECT_EQ(truncated(request, 7).context, request.context);  // the last id is only predicted
  EXPECT_THAT(truncated(request, 6).context, ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(truncated(request, 3).context, ElementsAre(5));
  EXPECT_EQ(truncated(request, 3).continuation, request.continuation);
  EXPECT_EQ(problem_of(request, 3), "");
  EXPECT_EQ(problem_of(request, 2),
            "its continuation has 3 tokens: expected at most --max-length, 2");
}

TEST_F(Encoded, FewBadItemsAreSkippedAndManyRefused) {
  RequestEncoder encoder(tokenizer_, true);
  ZeroShotTask task{.name = "mine", .file = "mine.jsonl"};
  for (int i = 0; i < 200; ++i)
    task.items.push_back({i, {"What is"}, {" it?", " that?"}, i == 7 ? 2 : 1});
  const ZeroShotItems few = encode_task(task, encoder, 64, {});
  EXPECT_EQ(few.items.size(), 199u);
  EXPECT_EQ(few.original, 200u);
  EXPECT_THAT(few.skipped, ElementsAre("item 7: gold: expected 0 to 1, got 2"));
  EXPECT_EQ(few.truncated, 0u);
  EXPECT_EQ(encode_task(task, encoder, 64, 7).items.size(), 7u);
  EXPECT_THAT(
      complaint([&] { encode_task(task, encoder, 64, 8); }),
      HasSubstr("mine.jsonl: task mine: 1 of 8 items cannot be scored: expected at most 1.0%, "
                "got 12%; item 7: gold"));
  EXPECT_THAT(complaint([&] { encode_task(task, encoder, 1, {}); }),
              AllOf(HasSubstr("200 of 200"), HasSubstr("item 0: request 0: its continuation has"),
                    HasSubstr("; ...")));
  EXPECT_EQ(encode_task(task, encoder, 5, {}).truncated, 398u);
}

}  // namespace
}  // namespace tern::test
