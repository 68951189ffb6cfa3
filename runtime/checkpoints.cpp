#include "runtime/checkpoints.h"

#include <cstring>

#include "core/backend.h"
#include "core/bfloat16.h"
#include "data/checkpoint/directory.h"
#include "runtime/memory_plan.h"

namespace tern {
namespace {

constexpr const char* kFirst = "first_moment.";
constexpr const char* kSecond = "second_moment.";
constexpr const char* kTokenizer = "tokenizer";

std::vector<std::uint64_t> dimensions(const Shape& shape) {
  std::vector<std::uint64_t> out;
  for (int i = 0; i < shape.rank(); ++i) out.push_back(std::uint64_t(shape[i]));
  return out;
}

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

template <class Stored>
std::vector<double> widen(std::span<const std::byte> bytes) {
  std::vector<double> out(bytes.size() / sizeof(Stored));
  for (std::size_t i = 0; i < out.size(); ++i) {
    Stored value;
    std::memcpy(&value, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    out[i] = double(to_real(value));
  }
  return out;
}

std::vector<double> widen(StoredType type, std::span<const std::byte> bytes) {
  if (type == StoredType::f64) return widen<double>(bytes);
  return type == StoredType::f32 ? widen<float>(bytes) : widen<BFloat16>(bytes);
}

bool is_real(StoredType type) {
  return type == StoredType::f64 || type == StoredType::f32 || type == StoredType::bf16;
}

std::string text_of(const std::vector<std::uint64_t>& shape) {
  std::string text;
  for (const std::uint64_t n : shape) text += (text.empty() ? "" : ", ") + std::to_string(n);
  return "(" + text + ")";
}

// The saved tensor of a parameter's name, behind a prefix, and shape.
const StoredTensor& require_tensor(const Checkpoint& checkpoint, const std::string& name,
                                   const Shape& shape) {
  const StoredTensor* found = checkpoint.find(name);
  require(found, Fault::input, checkpoint.path().string(), ": no tensor '", name, "'");
  require(found->shape == dimensions(shape) && is_real(found->type), Fault::input,
          checkpoint.path().string(), ": tensor '", name, "': expected ",
          text_of(dimensions(shape)), " of a real type, got ", text_of(found->shape), ' ',
          name_of(found->type));
  return *found;
}

// The rows that are held here of a saved tensor of a parameter's shape into `to`; another real
// dtype is converted, to nearest.
void load(const Checkpoint& checkpoint, const std::string& name, const LocalRows& local,
          const Tensor& to) {
  const StoredTensor& found = require_tensor(checkpoint, name, local.parameter->shape);
  const Tensor flat = to.reshape({to.elements()});
  const auto upload = [&](std::uint64_t offset, std::span<const std::byte> block) {
    const std::size_t item = item_bytes(found.type);
    const Tensor part = flat.slice(Index(offset / item), Index(block.size() / item));
    if (found.type == stored_type(to.dtype()))
      to.backend().upload(part, block.data());
    else
      upload_real(part, widen(found.type, block));
  };
  checkpoint.read_rows(name, std::uint64_t(local.first_row), std::uint64_t(local.rows), upload);
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
                   .shape = dimensions(local.parameter->shape),
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
    add(kFirst + local.parameter->name, adam.first_moment(), local);
    add(kSecond + local.parameter->name, adam.second_moment(), local);
  }
  if (first)
    out.push_back({.name = kTokenizer,
                   .type = StoredType::u8,
                   .shape = {tokenizer_file.size()},
                   .bytes = std::as_bytes(std::span(tokenizer_file)),
                   .constant = true});
  return out;
}

void require_weights(const Checkpoint& checkpoint, const Model& model, bool moments) {
  for (const Parameter* p : model.parameters()) {
    require_tensor(checkpoint, p->name, p->shape);
    if (!moments) continue;
    for (const char* moment : {kFirst, kSecond})
      require_tensor(checkpoint, moment + p->name, p->shape);
  }
}

void load_weights(const Checkpoint& checkpoint, ParameterPack& pack) {
  for (const LocalRows& local : pack.local_rows())
    load(checkpoint, local.parameter->name, local, pack.view(pack.values(), local));
  pack.quantize();
}

void load_weights(const Checkpoint& checkpoint, InferenceWeights& weights) {
  for (const Parameter* p : weights.parameters())
    weights.set(*p, [&](const Tensor& values) {
      load(checkpoint, p->name, {.parameter = p, .rows = p->shape[0]}, values);
    });
}

void load_moments(const Checkpoint& checkpoint, Trainer& trainer) {
  const ParameterPack& pack = trainer.pack();
  const AdamWOptimizer& adam = trainer.optimizer();
  for (const LocalRows& local : pack.local_rows()) {
    load(checkpoint, kFirst + local.parameter->name, local, pack.view(adam.first_moment(), local));
    load(checkpoint, kSecond + local.parameter->name, local,
         pack.view(adam.second_moment(), local));
  }
}

TrainingState load_training(const Checkpoint& checkpoint, Trainer& trainer) {
  load_weights(checkpoint, trainer.pack());
  load_moments(checkpoint, trainer);
  return training_state(checkpoint.manifest(), checkpoint.path().string());
}

Tokenizer load_tokenizer(const Checkpoint& checkpoint, const RunConfig& config) {
  const StoredTensor* found = checkpoint.find(kTokenizer);
  require(found && found->type == StoredType::u8, Fault::input, checkpoint.path().string(),
          ": no tensor 'tokenizer'");
  std::string model(found->bytes(), '\0');
  checkpoint.read(kTokenizer, std::as_writable_bytes(std::span(model)));
  Tokenizer tokenizer = Tokenizer::parse(model, checkpoint.path());
  require(tokenizer.vocab_size() == config.model.vocab_size, Fault::input,
          checkpoint.path().string(), ": model.vocab_size: expected ", tokenizer.vocab_size(),
          ", the size of its tokenizer, got ", config.model.vocab_size);
  return tokenizer;
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

LoadedModel load_model(const Checkpoint& checkpoint, const RunConfig& config, const Device& device,
                       const std::function<void(Model&)>& use) {
  Tokenizer tokenizer = load_tokenizer(checkpoint, config);
  const ModelOptions options = model_options(config, device.facts().traits);
  auto backend = make_backend(device, [&](Backend& on) {
    Model model(config.model, options);
    InferenceWeights weights(on, model.parameters(), options.dtype);
    for (const Parameter* p : weights.parameters()) weights.set(*p, [](const Tensor&) {});
    use(model);
  });
  auto model = std::make_unique<Model>(config.model, options);
  auto weights = std::make_unique<InferenceWeights>(*backend, model->parameters(), options.dtype);
  load_weights(checkpoint, *weights);
  return {.config = config,
          .backend = std::move(backend),
          .model = std::move(model),
          .weights = std::move(weights),
          .tokenizer = std::move(tokenizer),
          .documents = training_state(checkpoint.manifest(), checkpoint.path().string()).documents};
}

}  // namespace tern
