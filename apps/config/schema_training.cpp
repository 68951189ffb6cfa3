#include "apps/config/schema.h"

namespace tern {

namespace {

const std::vector<std::string> kCurves = {"constant", "linear", "cosine", "sqrt"};

ConfigSection schedule_section() {
  using S = ScheduleSection;
  return table<S>(
      "schedule",
      "The learning rate over the run, as factors of `optimizer.lr`. With step s from 0, warm-up "
      "w, "
      "total n, floor m:\n\n"
      "- every preset but `segments` warms up: (s + 1) / w for s < w;\n"
      "- `constant`: then 1;\n"
      "- `cosine`: then m + (1 - m) (1 + cos(pi (s - w) / (n - w))) / 2;\n"
      "- `cosine_halved`: that cosine, and from `middle` on exactly half of it (the MatMul-free "
      "paper halves the rate midway; how it joins the cosine there is not published);\n"
      "- `two_stage`: straight from 1 to `first_stage_end` at `middle`, then straight from "
      "`second_stage_start` to m (BitNet b1.58);\n"
      "- `wsd`: 1, and in the last `decay` steps down to m along `decay_curve`;\n"
      "- `segments`: the `[[schedule.segment]]` tables.\n\n"
      "Lengths are steps (`375`) or shares of the run (`\"2%\"`).",
      &RunConfig::schedule,
      {field(&S::preset,
             {.name = "preset",
              .choices = {"constant", "cosine", "cosine_halved", "two_stage", "wsd", "segments"},
              .doc = "Shape of the schedule."}),
       field(&S::warmup,
             {.name = "warmup", .range = between(0, kMaxSteps), .doc = "Length of the warm-up."}),
       field(&S::floor, {.name = "floor",
                         .range = between(0, 1),
                         .doc = "Factor at the end; `cosine_halved` ends at half of it."}),
       field(
           &S::middle,
           {.name = "middle",
            .range = between(0, kMaxSteps),
            .doc = "Step at which `cosine_halved` halves the rate and `two_stage` changes stage."}),
       field(&S::first_stage_end, {.name = "first_stage_end",
                                   .range = between(0, 1),
                                   .doc = "Factor at the end of the first of two stages."}),
       field(&S::second_stage_start, {.name = "second_stage_start",
                                      .range = between(0, 1),
                                      .doc = "Factor at the start of the second of two stages."}),
       field(&S::decay, {.name = "decay",
                         .range = between(0, kMaxSteps),
                         .doc = "Length of `wsd`'s decay at the end."}),
       field(&S::decay_curve,
             {.name = "decay_curve", .choices = kCurves, .doc = "Curve of `wsd`'s decay."})});
}

template <class Access>
ConfigSection segment_section(std::string name, std::string doc, Access of) {
  using S = SegmentEntry;
  return tables<S>(
      std::move(name), std::move(doc), of,
      {field(&S::curve, {.name = "curve",
                         .choices = kCurves,
                         .required = true,
                         .doc = "Curve from `from` to `to`."}),
       field(&S::from, {.name = "from",
                        .range = between(0, 1000),
                        .required = true,
                        .doc = "Factor at the segment's first step."}),
       field(&S::to,
             {.name = "to",
              .range = between(0, 1000),
              .required = true,
              .doc =
                  "Factor at the segment's end; the step at `until` belongs to the next segment."}),
       field(&S::until, {.name = "until",
                         .range = between(0, kMaxSteps),
                         .required = true,
                         .doc = "End, counted from the start of the run."})});
}

ConfigSection decay_section() {
  using S = DecayScheduleSection;
  return table<S>("weight_decay_schedule", "The weight decay over the run, as factors.",
                  &RunConfig::weight_decay_schedule,
                  {field(&S::preset, {.name = "preset",
                                      .choices = {"constant", "off_midway", "segments"},
                                      .doc = "`off_midway`: 1, and 0 from `middle` on; `segments`: "
                                             "the `[[weight_decay_schedule.segment]]` tables."}),
                   field(&S::middle, {.name = "middle",
                                      .range = between(0, kMaxSteps),
                                      .doc = "First step without weight decay."})});
}

ConfigSection batch_section() {
  using S = BatchSection;
  return table<S>(
      "batch", "The data of one optimizer step.", &RunConfig::batch,
      {field(&S::tokens, {.name = "tokens",
                          .range = between(1, 1e9),
                          .unit = "tokens",
                          .doc = "Tokens per optimizer step over all processes, a multiple of "
                                 "`context`."}),
       field(&S::context, {.name = "context",
                           .range = between(1, 1 << 20),
                           .unit = "tokens",
                           .doc = "Length T of a training sequence."}),
       field(
           &S::micro_batch,
           {.name = "micro_batch",
            .range = between(0, 1 << 20),
            .unit = "sequences",
            .decides = Decides::place,
            .doc =
                "Sequences computed at once; 0: the largest number that fits into free memory, on "
                "a CPU together with the copy for a checkpoint. Changes memory and speed, not the "
                "batches."})});
}

ConfigSection precision_section() {
  return table<RunConfig>(
      "precision", "Number formats.", std::identity{},
      {field(&RunConfig::dtype, {.name = "dtype",
                                 .choices = {"f32", "f64"},
                                 .doc = "Parameters, gradients and optimizer state; f64 on CPUs "
                                        "only."}),
       field(&RunConfig::activations,
             {.name = "activations",
              .choices = {"auto", "f32", "bf16"},
              .doc = "Data type of the outputs of matrix products and of the residual branches. "
                     "`auto`: bf16 on GPUs, `dtype` on CPUs; bf16 exists on GPUs only."}),
       field(&RunConfig::residual, {.name = "residual",
                                    .choices = {"auto", "f32", "bf16"},
                                    .doc = "Data type of the residual stream. `auto`: the same as "
                                           "`activations`; bf16 requires bf16 activations."}),
       field(&RunConfig::backward,
             {.name = "backward",
              .choices = {"auto", "bf16", "fp8_dx", "fp8"},
              .doc = "Matrix products of the blocks in backward. `bf16`: gradients as they are "
                     "stored (bf16 on GPUs). `fp8_dx`: the gradient of the input is computed from "
                     "`dy` rounded to 8-bit floats with a scale per row: faster on GPUs of compute "
                     "capability 9.0 (H100, H200), rounds more than the reference; the weights' "
                     "gradients stay exact. `fp8`: these are computed in 8-bit floats too. `auto`: "
                     "`bf16`, as it is not shown yet that 8 bits cost no loss."})});
}

ConfigSection memory_section() {
  return table<RunConfig>(
      "memory", "Trade speed for memory.", std::identity{},
      {field(
          &RunConfig::recompute,
          {.name = "recompute",
           .choices = {"none", "norms", "cheap", "full"},
           .doc = "`norms`: make the inputs of products behind a norm again in backward, a sixth "
                  "less activation memory for some 2 percent of speed. `cheap`: recompute norms, "
                  "quantisers and the scan, not the products: a third less for a few percent "
                  "more. `full`: keep only each block's input and run the block again. The "
                  "results are bit-identical."})});
}

ConfigSection logging_section() {
  using S = LoggingSection;
  const NumberRange steps = between(0, kMaxSteps);
  return table<S>(
      "logging", "Reports of a run. Intervals are in steps; 0: never.", &RunConfig::logging,
      {field(&S::interval,
             {.name = "interval", .range = steps, .unit = "steps", .doc = "A line of progress."}),
       field(&S::diagnostics_interval,
             {.name = "diagnostics_interval",
              .range = steps,
              .unit = "steps",
              .doc = "Per layer: flip rate, share of zeros, scale, largest activation."}),
       field(&S::sample_interval,
             {.name = "sample_interval", .range = steps, .unit = "steps", .doc = "Sample texts."}),
       field(&S::sample_prompts, {.name = "sample_prompts",
                                  .doc = "Prompts of the sample texts, one sample for each; "
                                         "`samples/step-N.txt` holds them all."}),
       field(&S::sample_tokens, {.name = "sample_tokens",
                                 .range = between(1, 1 << 20),
                                 .unit = "tokens",
                                 .doc = "Length of a sample."}),
       field(&S::validation_interval, {.name = "validation_interval",
                                       .range = steps,
                                       .unit = "steps",
                                       .doc = "Validation loss, for each source."}),
       field(&S::validation_tokens, {.name = "validation_tokens",
                                     .range = between(1, kMaxTokens),
                                     .unit = "tokens",
                                     .doc = "Number of tokens to use of each source's validation "
                                            "part, at least one context."}),
       field(&S::tensorboard, {.name = "tensorboard",
                               .doc = "Also write event files for TensorBoard, to the run's folder "
                                      "`tensorboard`: losses, rate, norms, speed, samples."})});
}

ConfigSection checkpoint_section() {
  using S = CheckpointSection;
  return table<S>(
      "checkpoint", "The last step is always saved.", &RunConfig::checkpoint,
      {field(&S::interval, {.name = "interval",
                            .range = between(0, kMaxSteps),
                            .unit = "steps",
                            .doc = "Steps between two checkpoints; 0: save at the end only."}),
       field(&S::keep_last, {.name = "keep_last",
                             .range = between(1, 1e6),
                             .doc = "Number of newest checkpoints to keep."}),
       field(&S::keep_every,
             {.name = "keep_every",
              .range = between(0, kMaxSteps),
              .unit = "steps",
              .doc = "Checkpoints at multiples of this number are never deleted; 0: none."}),
       field(&S::keep_best,
             {.name = "keep_best",
              .doc = "Also keep the checkpoint with the lowest validation loss; `checkpoints/best` "
                     "names it. Only steps that are both validated and saved count."}),
       field(&S::before_decay,
             {.name = "before_decay",
              .doc = "Also save the step at which `wsd`'s decay begins, and never delete that "
                     "checkpoint: a longer run resumes from it and has the same bits as one from "
                     "the start."}),
       field(&S::required, {.name = "required",
                            .doc = "Stop with exit code 6 if a checkpoint cannot be saved, instead "
                                   "of continuing with a warning."})});
}

ConfigSection init_from_section() {
  using S = InitFromSection;
  return table<S>(
      "init_from",
      "Start from another run's checkpoint, at step 0 of this run's data and schedule.",
      &RunConfig::init_from,
      {field(&S::path, {.name = "path",
                        .path = true,
                        .doc = "A checkpoint's folder, a run's (its newest good checkpoint), its "
                               "`checkpoints/latest`, or a Hugging Face folder; empty: new "
                               "weights."}),
       field(&S::moments, {.name = "moments",
                           .doc = "Also load the optimizer's moments, not only the weights."}),
       field(
           &S::other_tokenizer,
           {.name = "other_tokenizer",
            .doc = "Accept a checkpoint that was trained with another tokenizer of the same size: "
                   "its token ids mean other texts."})});
}

ConfigSection numerics_section() {
  using S = NumericsSection;
  return table<S>(
      "numerics",
      "Handling of a loss or a gradient norm that is not finite. Such an update is always skipped, "
      "before any weight changes.",
      &RunConfig::numerics,
      {field(&S::max_skipped, {.name = "max_skipped",
                               .range = between(1, 1e6),
                               .unit = "steps",
                               .doc = "Skipped updates in a row before going back to the last good "
                                      "checkpoint."}),
       field(&S::max_rewinds,
             {.name = "max_rewinds",
              .range = between(0, 1e6),
              .doc = "Maximum number of times to go back; then the run ends with exit code 4."}),
       field(&S::skip_window, {.name = "skip_window",
                               .range = between(1, 1e6),
                               .unit = "steps",
                               .doc = "Number of batches to leave out after going back, from the "
                                      "first skipped one on."})});
}

}  // namespace

ConfigSchema training_schema() {
  using enum Decides;
  return {
      all_decide(course, schedule_section()),
      all_decide(course,
                 segment_section(
                     "schedule.segment",
                     "With `preset = \"segments\"`: each begins where the one before ends; the "
                     "last ends with the run.",
                     [](auto& c) -> auto& { return c.schedule.segments; })),
      all_decide(course, decay_section()),
      all_decide(course, segment_section(
                             "weight_decay_schedule.segment", "As `[[schedule.segment]]`.",
                             [](auto& c) -> auto& { return c.weight_decay_schedule.segments; })),
      batch_section(),
      precision_section(),
      all_decide(place, memory_section()),
      all_decide(place, logging_section()),
      all_decide(place, checkpoint_section()),
      all_decide(course, init_from_section()),
      all_decide(course, numerics_section()),
      all_decide(place, ranks_section()),
      all_decide(place, parallel_section())};
}

}  // namespace tern
