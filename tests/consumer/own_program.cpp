// A program of one's own on tern's libraries: plans its memory, trains a small model on prepared
// data, saves a checkpoint, exports it for other programs, loads that and writes text.
//   own_program DATA CHECKPOINTS
#include <cstdio>

#include "core/cpu/cpu_backend.h"
#include "data/checkpoint/writer.h"
#include "runtime/checkpoints.h"
#include "runtime/huggingface.h"
#include "runtime/memory_plan.h"
#include "runtime/text_generator.h"
#include "runtime/training_data.h"
#include "runtime/training_state.h"

namespace {

using namespace tern;

RunConfig small_run(const std::string& data) {
  RunConfig config;
  config.model = {.vocab_size = 0, .width = 48, .layers = 2};  // 0: the data's
  config.data.sources = {{.path = data}};
  config.batch = {.tokens = 512, .context = 64, .micro_batch = 4};
  config.run.steps = 40;
  return config;
}

// The mean loss of the last ten steps, and that of the first.
std::pair<double, double> train(Trainer& trainer, TrainingData& data, const RunConfig& config) {
  const Schedule rate = learning_rate_schedule(config);
  double first = 0, last = 0;
  for (std::int64_t step = 0; step < config.run.steps; ++step) {
    const Batch batch = data.next();
    const double loss =
        trainer.step(batch, loss_weight(batch.targets), 4e-3 * rate.at(step), 0.1).report().loss;
    if (step == 0) first = loss;
    if (step >= config.run.steps - 10) last += loss / 10;
  }
  return {last, first};
}

std::filesystem::path save(Trainer& trainer, const TrainingData& data,
                           const std::filesystem::path& directory) {
  const TrainingState state{.step = 40,
                            .adam_steps = trainer.optimizer().adam_steps(),
                            .tokenizer_hash = data.tokenizer().hash(),
                            .documents = data.layout()};
  write_checkpoint({.directory = directory}, {.step = 40, .state = to_json(state)},
                   checkpoint_tensors(trainer, data.tokenizer().file()));
  return directory / checkpoint_name(40);
}

void generate(const std::filesystem::path& checkpoint, const RunConfig& config) {
  // to Hugging Face's form and back: the same weights
  const std::filesystem::path folder = checkpoint.string() + "-hf";
  export_huggingface(saved_model(Checkpoint::open(checkpoint), config), folder, {});
  const SavedModel saved = open_huggingface(folder);
  const LoadedModel loaded = load_model(saved, Device("cpu"), [](Model& model) {
    Generator rehearsal(model, {.temperature = 0});
    rehearsal.read(std::vector<std::int32_t>(8, 0));
    rehearsal.next();
  });
  Generator generator(*loaded.model, {.temperature = 0.8, .seed = 1});
  continue_text(generator, *saved.tokenizer, saved.documents, "To be", 20,
                [](const std::string& text) { std::printf("%s", text.c_str()); });
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    require(argc == 3, Fault::usage, "expected DATA CHECKPOINTS");
    RunConfig config = small_run(argv[1]);
    TrainingData data(config);
    config.model.vocab_size = data.tokenizer().vocab_size();
    const MemoryPlan plan = plan_memory(config, config.batch.micro_batch, {});
    CpuBackend cpu(plan.peak);
    Trainer trainer(cpu, config, plan.micro_batch);
    trainer.pack().initialize(1);
    const auto [last, first] = train(trainer, data, config);
    std::printf("loss %.3f, then %.3f; %zu B planned, %zu B taken\n", first, last, plan.peak,
                cpu.pool().high_water());
    generate(save(trainer, data, argv[2]), config);
    return last < first - 0.5 && cpu.pool().high_water() <= plan.peak ? 0 : 1;
  } catch (const Error& e) {
    std::fprintf(stderr, "own_program: error: %s\n", e.what());
    return int(e.fault);
  }
}
