#include "runtime/checkpoints.h"

#include "core/backend.h"
#include "data/checkpoint/directory.h"

namespace tern {
namespace {

constexpr const char* kTokenizer = "tokenizer";

// Where its bytes are, in host memory or the device's.
void locate(TensorBytes& to, const Tensor& t) {
  if (const void* p = t.backend().host_address(t)) {
    to.bytes = {static_cast<const std::byte*>(p), t.bytes()};
    return;
  }
  const Tensor flat = t.reshape({t.elements()});
  to.device_bytes = t.bytes();
  to.download = [flat](std::uint64_t offset, std::span<std::byte> bytes) {
    const std::size_t item = flat.bytes() / std::size_t(flat.elements());
    flat.backend().download(bytes.data(),
                            flat.slice(Index(offset / item), Index(bytes.size() / item)));
  };
}

}  // namespace

std::vector<TensorBytes> checkpoint_tensors(Trainer& trainer, const std::string& tokenizer_file) {
  const ParameterPack& pack = trainer.pack();
  const AdamWOptimizer& adam = trainer.optimizer();
  const bool first = pack.shard().rank == 0;
  std::vector<TensorBytes> out;
  const auto add = [&](const std::string& name, const Tensor& flat, const LocalRows& local) {
    const Tensor t = pack.view(flat, local);
    out.push_back({.name = name,
                   .type = stored_type(t.dtype()),
                   .shape = stored_shape(local.parameter->shape),
                   .bytes = {},
                   .first_row = std::uint64_t(local.first_row)});
    locate(out.back(), t);
  };
  // what every rank holds is written by the first
  const auto written = [&](const LocalRows& local) {
    return first || local.parameter->sharding != Sharding::replicated;
  };
  for (const LocalRows& local : pack.local_rows())
    if (written(local)) add(local.parameter->name, pack.values(), local);
  for (const LocalRows& local : pack.local_rows()) {
    if (!written(local)) continue;
    add(kFirstMoment + local.parameter->name, adam.first_moment(), local);
    add(kSecondMoment + local.parameter->name, adam.second_moment(), local);
  }
  if (first) out.push_back(tokenizer_tensor(tokenizer_file));
  return out;
}

TensorBytes tokenizer_tensor(const std::string& file) {
  return {.name = kTokenizer,
          .type = StoredType::u8,
          .shape = {file.size()},
          .bytes = std::as_bytes(std::span(file)),
          .constant = true};
}

TrainingState load_training(const Checkpoint& checkpoint, Trainer& trainer) {
  const WeightSource weights = weights_of(checkpoint);
  load_weights(weights, trainer.pack());
  load_moments(weights, trainer);
  return training_state(checkpoint.manifest(), checkpoint.path().string());
}

Checkpoint open_checkpoint(const std::filesystem::path& path) {
  std::error_code error;
  const auto inside = path / "checkpoints";
  if (!std::filesystem::is_directory(inside, error)) return Checkpoint::open(path);
  const NewestGood newest = newest_good(inside);
  std::string reasons;
  for (const std::string& reason : newest.passed_over) reasons += "; " + reason;
  require(newest.path.has_value(), Fault::input, inside.string(), ": no good checkpoint", reasons);
  return Checkpoint::open(*newest.path);
}

SavedModel saved_model(const Checkpoint& checkpoint, const RunConfig& config) {
  const std::string where = checkpoint.path().string();
  const TrainingState state = training_state(checkpoint.manifest(), where);
  SavedModel saved{.path = checkpoint.path(),
                   .config = config,
                   .weights = weights_of(checkpoint),
                   .documents = state.documents,
                   .manifest = checkpoint.manifest()};
  const StoredTensor* found = checkpoint.find(kTokenizer);
  const bool imported = state.tokenizer_hash.empty();
  if (!found && imported) return saved;
  require(found && found->type == StoredType::u8, Fault::input, where, ": no tensor 'tokenizer'");
  std::string model(found->bytes(), '\0');
  checkpoint.read(kTokenizer, std::as_writable_bytes(std::span(model)));
  saved.tokenizer = Tokenizer::parse(model, checkpoint.path());
  require(saved.tokenizer->vocab_size() == config.model.vocab_size, Fault::input, where,
          ": model.vocab_size: expected ", saved.tokenizer->vocab_size(),
          ", the size of its tokenizer, got ", config.model.vocab_size);
  return saved;
}

}  // namespace tern
