#include "apps/train/sample_writer.h"

#include "runtime/text_generator.h"

namespace tern {

SampleWriter::SampleWriter(OpenedRun& opened, TrainingReports& reports, StepAgreement& agreement,
                           Trainer& trainer)
    : opened_(opened), reports_(reports), agreement_(agreement), trainer_(trainer) {}

void SampleWriter::run(const TrainingState& state) {
  const Pause pause(reports_.pace());
  reports_.live("writing samples");
  int index = 0;
  for (const std::string& prompt : opened_.config.logging.sample_prompts) {
    if (agreement_.stop_wanted(state.step, longest_)) break;
    if (opened_.info.rank > 0 ||
        prompt_ids(opened_.data.tokenizer(), state.documents, prompt).empty())
      continue;  // nothing to begin with
    const double begin = monotonic_seconds();
    const std::optional<std::string> text = text_after(prompt, state);
    if (!text) continue;
    reports_.add(SampleReport{.step = state.step,
                              .tokens = opened_.tokens(state.step),
                              .index = index++,
                              .prompt = prompt,
                              .text = *text});
    longest_ = std::max(longest_, monotonic_seconds() - begin);
  }
}

// Nothing, and an event, if the logits are not finite: a sample does not decide whether training
// goes on.
std::optional<std::string> SampleWriter::text_after(const std::string& prompt,
                                                    const TrainingState& state) {
  Generator generator(trainer_.model(),
                      {.temperature = 0.8,
                       .top_k = 50,
                       .seed = std::uint64_t(opened_.config.run.seed) + std::uint64_t(state.step)},
                      sample_positions(opened_.config));
  std::string text;
  try {
    continue_text(generator, opened_.data.tokenizer(), state.documents, prompt,
                  opened_.config.logging.sample_tokens,
                  [&](const std::string& part) { text += part; });
  } catch (const Error& e) {
    if (e.fault != Fault::diverged) throw;
    reports_.event(state.step, "sample", e.what());
    return std::nullopt;
  }
  return text;
}

}  // namespace tern
