#include "apps/eval/evaluate_tasks.h"

#include <fmt/format.h>

#include "apps/console/progress_line.h"
#include "apps/eval/task_report.h"
#include "apps/run/open_model.h"
#include "data/tokenizer/bos_rule.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

// tokens computed at once
Index tokens_at_once(const Device& device) {
  return device.facts().traits.is_gpu() ? 32'768 : 4096;
}

// f32 or f64 from end to end, whatever the training did: scores are compared with those of others.
void set_precision(SavedModel& saved, const std::string& dtype, const Device& device) {
  require(dtype == "f32" || !device.facts().traits.is_gpu(), Fault::usage,
          "--dtype f64 runs on --device cpu only");
  saved.config.dtype = dtype == "f64" ? Precision::f64 : Precision::f32;
  saved.config.activations = saved.config.residual = Activations::f32;
}

// auto: as documents were in training, where that is known, else as the tokenizer's files say.
BosRule bos_of(const SavedModel& saved, const TaskEvaluation& evaluation) {
  if (evaluation.bos != "auto")
    return {.add = evaluation.bos == "on", .reason = "--bos " + evaluation.bos};
  if (!saved.documents_stated)
    return bos_rule(evaluation.tokenizer.empty() ? saved.path : evaluation.tokenizer,
                    *saved.tokenizer);
  if (saved.tokenizer->bos_id() < 0) return {.add = false, .reason = "the tokenizer has none"};
  return {.add = saved.documents.bos,
          .reason = saved.documents.bos ? "documents of the training data began with it"
                                        : "documents of the training data began without it"};
}

std::vector<ZeroShotItems> encode_tasks(const TaskEvaluation& evaluation, RequestEncoder& encoder,
                                        Index max_length) {
  std::vector<ZeroShotItems> tasks;
  for (const std::string& name : evaluation.tasks) {
    tasks.push_back(
        encode_task(read_task(evaluation.task_dir, name), encoder, max_length, evaluation.limit));
    const std::vector<std::string>& skipped = tasks.back().skipped;
    for (std::size_t i = 0; i < std::min<std::size_t>(5, skipped.size()); ++i)
      fmt::print(stderr, "tern: warning: {}: skipped {}\n", name, skipped[i]);
    if (skipped.size() > 5)
      fmt::print(stderr, "tern: warning: {}: {} items skipped in all\n", name, skipped.size());
  }
  return tasks;
}

// Scores all requests at once: the more there are, the more contexts of one length.
void score(std::vector<ZeroShotItems>& tasks, const SavedModel& saved, const Device& device,
           Index max_length) {
  std::vector<LikelihoodRequest> requests;
  for (const ZeroShotItems& task : tasks)
    for (const ZeroShotItem& item : task.items)
      for (const LikelihoodRequest& request : item.requests)
        requests.push_back(truncated(request, max_length));
  const double count = double(requests.size());
  const LikelihoodScorer scorer(std::move(requests), tokens_at_once(device));
  LoadedModel loaded = load_model(saved, device, [&](Model& model) { scorer.rehearse(model); });
  ProgressLine line;
  const auto progress = [&](double share) {
    line.show([&](double seconds) {
      return fmt::format("eval  {}  {} requests  eta {}", share_text(share), count_text(count),
                         duration_text(seconds * (1 - share) / share));
    });
  };
  progress(0);
  const std::vector<Likelihood> likelihoods = scorer.run(*loaded.model, progress);
  line.clear();
  auto next = likelihoods.begin();
  for (ZeroShotItems& task : tasks)
    for (ZeroShotItem& item : task.items) {
      item.likelihoods.assign(next, next + std::ptrdiff_t(item.requests.size()));
      next += std::ptrdiff_t(item.requests.size());
    }
}

void write_samples(const std::vector<ZeroShotItems>& tasks, const std::filesystem::path& path) {
  write_file_atomically(path, [&](File& file) {
    for (const ZeroShotItems& task : tasks)
      for (const ZeroShotItem& item : task.items) {
        const std::string line = sample_json(task.task.name, item).dump() + '\n';
        file.write_all(std::as_bytes(std::span(line)));
      }
  });
}

void print_settings(const TaskSettings& s, const std::vector<ZeroShotItems>& tasks) {
  std::size_t truncated = 0;
  for (const ZeroShotItems& task : tasks) truncated += task.truncated;
  fmt::print("checkpoint   {}\n", s.model);
  fmt::print("bos          {} ({})\n", s.bos ? "on" : "off", s.bos_reason);
  fmt::print("max length   {} tokens ({} requests were longer)\n", s.max_length, truncated);
  fmt::print("precision    {} on {}, {} in all\n\n", s.evaluation.dtype, s.evaluation.device,
             duration_text(s.seconds));
}

}  // namespace

void evaluate_tasks(const TaskEvaluation& evaluation) {
  const double begin = monotonic_seconds();
  for (const auto& path : {evaluation.output, evaluation.log_samples})
    if (!path.empty()) require_replaceable(path);
  require(evaluation.output.empty() || evaluation.output != evaluation.log_samples, Fault::usage,
          "--output and --log-samples: expected two files, got ", evaluation.output, " twice");
  const Device device(evaluation.device);
  SavedModel saved = open_model(evaluation.checkpoint);
  if (!evaluation.tokenizer.empty()) set_tokenizer(saved, Tokenizer::load(evaluation.tokenizer));
  const Tokenizer& tokenizer = require_tokenizer(saved);
  set_precision(saved, evaluation.dtype, device);
  const BosRule bos = bos_of(saved, evaluation);
  const Index max_length = evaluation.max_length.value_or(saved.config.batch.context);
  RequestEncoder encoder(tokenizer, bos.add);
  std::vector<ZeroShotItems> tasks = encode_tasks(evaluation, encoder, max_length);
  score(tasks, saved, device, max_length);
  const TaskSettings settings{.evaluation = evaluation,
                              .model = saved.path.string(),
                              .bos = bos.add,
                              .bos_reason = bos.reason,
                              .max_length = max_length,
                              .seconds = monotonic_seconds() - begin};
  print_settings(settings, tasks);
  fmt::print("{}", task_table(tasks));
  std::fflush(stdout);
  if (!evaluation.log_samples.empty()) write_samples(tasks, evaluation.log_samples);
  if (!evaluation.output.empty())
    write_file_atomically(evaluation.output,
                          results_json(tasks, settings)
                                  .dump(2, ' ', false, nlohmann::json::error_handler_t::replace) +
                              '\n');
}

}  // namespace tern
