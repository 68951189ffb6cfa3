#include "apps/train/model_files.h"

#include <bit>
#include <cstring>

#include "apps/config/load.h"
#include "core/host.h"

namespace tern {
namespace {

constexpr const char* kFirst = "first_moment.";
constexpr const char* kSecond = "second_moment.";
constexpr const char* kTokenizer = "tokenizer";

StoredType stored(DType dtype) {
  if (dtype == DType::bf16) return StoredType::bf16;
  return dtype == DType::f64 ? StoredType::f64 : StoredType::f32;
}

std::vector<std::uint64_t> dimensions(const Shape& shape) {
  std::vector<std::uint64_t> out;
  for (int i = 0; i < shape.rank(); ++i) out.push_back(std::uint64_t(shape[i]));
  return out;
}

std::span<const std::byte> host_bytes(const Tensor& t,
                                      std::vector<std::vector<std::byte>>& staging) {
  if (const void* p = t.backend().host_address(t))
    return {static_cast<const std::byte*>(p), t.bytes()};
  staging.emplace_back(t.bytes());
  t.backend().download(staging.back().data(), t);
  return staging.back();
}

template <class R>
R from_bits(R stored) {
  return stored;
}
float from_bits(std::uint16_t bf16) {
  return std::bit_cast<float>(std::uint32_t(bf16) << 16);
}

template <class Stored>
std::vector<double> widen(const std::vector<std::byte>& bytes) {
  std::vector<double> out(bytes.size() / sizeof(Stored));
  for (std::size_t i = 0; i < out.size(); ++i) {
    Stored value;
    std::memcpy(&value, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    out[i] = double(from_bits(value));
  }
  return out;
}

std::vector<double> widen(StoredType type, const std::vector<std::byte>& bytes) {
  if (type == StoredType::f64) return widen<double>(bytes);
  return type == StoredType::f32 ? widen<float>(bytes) : widen<std::uint16_t>(bytes);
}

bool is_real(StoredType type) {
  return type == StoredType::f64 || type == StoredType::f32 || type == StoredType::bf16;
}

// a saved tensor of this name and shape into `to`; another real dtype is converted, to nearest
void load(const Checkpoint& checkpoint, const std::string& name, const Tensor& to) {
  const StoredTensor* found = checkpoint.find(name);
  require(found, Fault::input, checkpoint.path().string(), ": no tensor '", name, "'");
  require(found->shape == dimensions(to.shape()) && is_real(found->type), Fault::input,
          checkpoint.path().string(), ": tensor '", name, "': expected ", to);
  std::vector<std::byte> bytes(found->bytes());
  checkpoint.read(name, bytes);
  if (found->type == stored(to.dtype()))
    to.backend().upload(to, bytes.data());
  else
    upload_real(to, widen(found->type, bytes));
}

}  // namespace

nlohmann::json to_json(const TrainingState& s) {
  return {{"step", s.step},
          {"position", s.position},
          {"adam_steps", s.adam_steps},
          {"skipped", s.skipped},
          {"tokenizer_hash", s.tokenizer_hash},
          {"data_hashes", s.data_hashes},
          {"algorithms", s.algorithms}};
}

TrainingState training_state(const Manifest& manifest, const std::string& where) {
  return training_state(manifest.state, where);
}

TrainingState training_state(const nlohmann::json& j, const std::string& where) {
  try {
    return {.step = j.at("step").get<std::int64_t>(),
            .position = j.at("position").get<std::int64_t>(),
            .adam_steps = j.at("adam_steps").get<double>(),
            .skipped = j.at("skipped").get<std::int64_t>(),
            .tokenizer_hash = j.at("tokenizer_hash").get<std::string>(),
            .data_hashes = j.at("data_hashes").get<std::vector<std::string>>(),
            .algorithms = j.value("algorithms", "")};
  } catch (const nlohmann::json::exception& e) {
    fail(Fault::input, where, ": manifest.json: state: ", e.what());
  }
}

std::vector<TensorBytes> checkpoint_tensors(Trainer& trainer, const std::string& tokenizer_model,
                                            std::vector<std::vector<std::byte>>& staging) {
  const ParameterPack& pack = trainer.model().parameters();
  staging.clear();
  staging.reserve(3 * pack.parameters().size());
  std::vector<TensorBytes> out;
  const auto add = [&](const std::string& name, const Tensor& t) {
    out.push_back({.name = name,
                   .type = stored(t.dtype()),
                   .shape = dimensions(t.shape()),
                   .bytes = host_bytes(t, staging)});
  };
  for (const Parameter* p : pack.parameters()) add(p->name, p->value);
  for (const Parameter* p : pack.parameters()) {
    add(kFirst + p->name, pack.view(trainer.optimizer().first_moment(), *p));
    add(kSecond + p->name, pack.view(trainer.optimizer().second_moment(), *p));
  }
  out.push_back({.name = kTokenizer,
                 .type = StoredType::u8,
                 .shape = {tokenizer_model.size()},
                 .bytes = std::as_bytes(std::span(tokenizer_model))});
  return out;
}

RunConfig saved_config(const Checkpoint& checkpoint) {
  const std::string where = checkpoint.path().string() + ": manifest.json: config";
  const nlohmann::json& config = checkpoint.manifest().config;
  require(config.is_object() && config.contains("toml") && config["toml"].is_string(), Fault::input,
          where, ": expected the run's configuration");
  try {
    return parse_config(config["toml"].get<std::string>(), where).config;
  } catch (const Error& e) {
    fail(Fault::input, e.what());
  }
}

void load_weights(const Checkpoint& checkpoint, Model& model) {
  for (const Parameter* p : model.parameters().parameters()) load(checkpoint, p->name, p->value);
  model.quantize();
}

void load_moments(const Checkpoint& checkpoint, Trainer& trainer) {
  const ParameterPack& pack = trainer.model().parameters();
  for (const Parameter* p : pack.parameters()) {
    load(checkpoint, kFirst + p->name, pack.view(trainer.optimizer().first_moment(), *p));
    load(checkpoint, kSecond + p->name, pack.view(trainer.optimizer().second_moment(), *p));
  }
}

std::string load_tokenizer_model(const Checkpoint& checkpoint) {
  const StoredTensor* found = checkpoint.find(kTokenizer);
  require(found && found->type == StoredType::u8, Fault::input, checkpoint.path().string(),
          ": no tensor 'tokenizer'");
  std::string model(found->bytes(), '\0');
  checkpoint.read(kTokenizer, std::as_writable_bytes(std::span(model)));
  return model;
}

}  // namespace tern
