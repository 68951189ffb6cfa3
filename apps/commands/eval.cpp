// tern eval: loss, perplexity and bits per byte of a checkpoint on a prepared corpus, or its
// metrics on zero-shot tasks.
#include <fmt/format.h>

#include <cmath>

#include "apps/commands/command_line.h"
#include "apps/eval/evaluate_tasks.h"
#include "apps/run/open_model.h"
#include "runtime/trainer.h"
#include "runtime/training_data.h"

namespace tern {
namespace {

struct EvalOptions {
  std::string checkpoint, data, device = "cpu";
  bool train_split = false;
  TaskEvaluation tasks{};
};

std::string ends_text(const DocumentLayout& layout) {
  if (layout.bos) return layout.eos ? "bos and eos" : "bos and no eos";
  return layout.eos ? "eos and no bos" : "neither bos nor eos";
}

void evaluate_data(const EvalOptions& options) {
  const auto corpus =
      std::make_shared<Corpus>(options.train_split ? Corpus::open(options.data, Split::train)
                                                   : Corpus::open_held_out(options.data));
  SavedModel saved = open_model(options.checkpoint);
  const Tokenizer of_data = corpus->tokenizer();
  if (!saved.tokenizer) set_tokenizer(saved, of_data);
  const Tokenizer& tokenizer = *saved.tokenizer;
  const Index context = saved.config.batch.context;
  const Index sequences = std::max<Index>(1, 4096 / context);
  LoadedModel loaded = load_model(saved, Device(options.device), [&](Model& model) {
    const std::vector<std::int32_t> ids(std::size_t(sequences * context), 0);
    evaluate(model, {ids, ids}, context);
  });
  require(of_data.hash() == tokenizer.hash(), Fault::input, options.data,
          ": expected data of the model's tokenizer (", tokenizer.hash(), "), got ",
          of_data.hash());
  const DocumentLayout here = corpus->layout(), there = saved.documents;
  if (here.bos != there.bos || here.eos != there.eos)
    fmt::print(stderr,
               "tern: warning: {}: documents have {}, those that the model was trained on {}\n",
               options.data, ends_text(here), ends_text(there));
  SequentialPass pass(token_source(corpus, options.data, 1), std::uint64_t(context),
                      std::uint64_t(sequences));
  LossSum sum;
  const TextBytes bytes(*corpus);
  while (const auto batch = pass.next()) {
    sum += evaluate(*loaded.model, *batch, context);
    sum.bytes += bytes.of(*batch);
  }
  const double loss = sum.loss / double(sum.targets);
  fmt::print("checkpoint      {}\ndata            {} ({})\ntokens          {}\n",
             saved.path.string(), options.data, name_of(corpus->split()), sum.targets);
  fmt::print("loss            {:.4f} nats per token\nperplexity      {:.2f}\n", loss,
             std::exp(loss));
  if (sum.bytes > 0)
    fmt::print("bits per byte   {:.4f} ({} bytes of text{})\n",
               sum.loss / std::log(2.0) / double(sum.bytes), sum.bytes,
               tokenizer.lossless() ? "" : " as the tokenizer rewrote it");
}

std::vector<std::string> split_names(const std::string& list) {
  std::vector<std::string> names;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    names.push_back(list.substr(begin, end - begin));
    require(!names.back().empty(), Fault::usage,
            "--tasks: expected names with commas between, got '", list, "'");
    require(std::count(names.begin(), names.end(), names.back()) == 1, Fault::usage,
            "--tasks: ", names.back(), ": expected once, got it twice");
    begin = end + 1;
  }
  return names;
}

// One of --data and --tasks, and no option that belongs to the other.
void check_options(const CLI::App& command) {
  const auto given = [&](const std::string& name) {
    return command.get_option("--" + name)->count() > 0;
  };
  require(given("data") != given("tasks"), Fault::usage, "expected --data or --tasks, got ",
          given("data") ? "both" : "neither");
  for (const char* name :
       {"task-dir", "limit", "bos", "max-length", "dtype", "tokenizer", "output", "log-samples"})
    require(!given("data") || !given(name), Fault::usage, "--", name, ": goes with --tasks only");
  require(given("data") || !given("train-split"), Fault::usage,
          "--train-split: goes with --data only");
  require(given("data") || given("task-dir"), Fault::usage,
          "--task-dir is missing: expected the folder with the files of the tasks");
}

void add_task_options(CLI::App& command, TaskEvaluation& to, std::string& names) {
  command.add_option("--tasks", names, "zero-shot tasks, with commas between: arc_easy,piqa");
  command.add_option("--task-dir", to.task_dir, "folder with the tasks' files, NAME.jsonl")
      ->transform(path_argument());
  command.add_option("--limit", to.limit, "only the first items of each task")
      ->check(CLI::Range(std::int64_t(1), std::int64_t(1) << 40));
  command.add_option("--bos", to.bos, "begin every text with bos; auto: as the model's files say")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->capture_default_str();
  command
      .add_option(
          "--max-length", to.max_length,
          "tokens of input, the last ones of longer texts; without it: what the model states")
      ->check(CLI::Range(std::int64_t(1), std::int64_t(1) << 24));
  command.add_option("--dtype", to.dtype, "number format of the tasks' scores")
      ->check(CLI::IsMember({"f32", "f64"}))
      ->capture_default_str();
  command
      .add_option("--tokenizer", to.tokenizer, "for a Hugging Face folder that has none: its file")
      ->transform(path_argument());
  command
      .add_option("--output", to.output, "write the metrics here, as lm-evaluation-harness does")
      ->transform(path_argument());
  command.add_option("--log-samples", to.log_samples, "write every item's ids and scores here")
      ->transform(path_argument());
}

}  // namespace

void add_eval(CLI::App& tern) {
  CLI::App& command = *tern.add_subcommand(
      "eval",
      "Loss, perplexity and bits per byte on prepared text, or metrics of zero-shot tasks.");
  const auto o = std::make_shared<EvalOptions>();
  const auto names = std::make_shared<std::string>();
  command.add_option("--checkpoint", o->checkpoint, kModelArgument)
      ->transform(path_argument())
      ->required();
  command.add_option("--data", o->data, "folder that tern prepare wrote")
      ->transform(path_argument());
  command.add_flag("--train-split", o->train_split,
                   "the training part of the folder, not the part set aside for validation");
  add_task_options(command, o->tasks, *names);
  command.add_option("--device", o->device, "cpu, cuda or cuda:N")->capture_default_str();
  command.callback([&command, o, names] {
    check_options(command);
    if (!o->data.empty()) return evaluate_data(*o);
    o->tasks.checkpoint = o->checkpoint;
    o->tasks.device = o->device;
    o->tasks.tasks = split_names(*names);
    evaluate_tasks(o->tasks);
  });
}

}  // namespace tern
