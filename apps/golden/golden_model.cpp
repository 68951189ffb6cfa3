#include "apps/golden/golden_model.h"

#include <algorithm>
#include <vector>

#include "core/host.h"
#include "data/io/json.h"

namespace tern {
namespace {

const std::string& metadata(const SafetensorsFile& file, const std::string& key) {
  const auto at = file.metadata().find(key);
  require(at != file.metadata().end(), Fault::input, file.path().string(),
          ": expected a golden file with metadata '", key, "'");
  return at->second;
}

template <class T>
T field(const SafetensorsFile& file, const nlohmann::json& json, const char* key) {
  require(json.contains(key) && !json[key].is_string(), Fault::input, file.path().string(),
          ": metadata: expected a number '", key, "'");
  return json[key].get<T>();
}

// An ignored key might change the meaning of the file's numbers.
void require_known(const SafetensorsFile& file, const nlohmann::json& json, const char* metadata,
                   const std::vector<std::string>& keys) {
  const std::string where = file.path().string() + ": metadata '" + metadata + "': ";
  require(json.is_object(), Fault::input, where, "expected an object");
  for (const auto& [key, value] : json.items())
    require(std::ranges::find(keys, key) != keys.end(), Fault::input, where, "the key '", key,
            "' is not known: this build cannot check a model that depends on it");
}

// Values without a key that this build computes with.
void require_fixed(const SafetensorsFile& file, const nlohmann::json& json, const char* key,
                   const nlohmann::json& value) {
  require(!json.contains(key) || json[key] == value, Fault::input, file.path().string(),
          ": metadata: ", key, ": expected ", value.dump(), ", got ", json.value(key, value).dump(),
          ": this build computes no other");
}

}  // namespace

ModelConfig golden_config(const SafetensorsFile& file) {
  const auto json = parse_json(metadata(file, "config"), file.path().string());
  require_known(file, json, "config",
                {"vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size",
                 "use_lower_bound", "rms_norm_eps", "num_heads", "expand_ratio", "hidden_ratio"});
  require_fixed(file, json, "num_heads", 1);
  require_fixed(file, json, "expand_ratio", 1);
  ModelConfig c;
  c.vocab_size = field<std::int64_t>(file, json, "vocab_size");
  c.width = field<std::int64_t>(file, json, "hidden_size");
  c.layers = field<std::int64_t>(file, json, "num_hidden_layers");
  c.explicit_glu_width = field<std::int64_t>(file, json, "intermediate_size");
  c.use_lower_bound = field<bool>(file, json, "use_lower_bound");
  c.rms_norm_eps = field<double>(file, json, "rms_norm_eps");
  validate(c);
  return c;
}

Shape golden_shape(const SafetensorsFile& file) {
  const auto& e = file.entry("input_ids");
  require(e.shape.size() == 2, Fault::input, file.path().string(),
          ": tensor 'input_ids': expected rank 2, got ", e.shape.size());
  return {e.shape[0], e.shape[1]};
}

void load_golden(const SafetensorsFile& file, const Parameter& p, const Tensor& to) {
  const std::vector<double> values = file.read_real("param." + p.name);
  require(Index(values.size()) == p.shape.elements(), Fault::input, file.path().string(),
          ": tensor 'param.", p.name, "': expected ", p.shape, ", got ", values.size(),
          " elements");
  upload_real(to, values);
}

GoldenModel::GoldenModel(const SafetensorsFile& file, DType dtype, Backend& backend)
    : file_(file), backend_(backend) {
  model_ = std::make_unique<Model>(golden_config(file), ModelOptions{.dtype = dtype});
  pack_ =
      std::make_unique<ParameterPack>(backend_, model_->parameters(), PackOptions{.dtype = dtype});
  AdamWOptions options;
  if (file.metadata().contains("train")) {
    const auto json = parse_json(metadata(file, "train"), file.path().string());
    require_known(file, json, "train",
                  {"beta1", "beta2", "eps", "clip", "weight_decay", "peak_lr", "total_steps",
                   "warmup_steps", "min_lr_ratio", "decay"});
    require_fixed(file, json, "decay",
                  "every *_proj.weight, lm_head.weight; not embeddings, norms, lower_bounds");
    options = {.beta1 = field<double>(file, json, "beta1"),
               .beta2 = field<double>(file, json, "beta2"),
               .eps = field<double>(file, json, "eps"),
               .clip = field<double>(file, json, "clip")};
    weight_decay_ = field<double>(file, json, "weight_decay");
    peak_rate_ = field<double>(file, json, "peak_lr");
    schedule_ = std::make_unique<Schedule>(
        make_schedule(CosineSchedule{.total = field<std::int64_t>(file, json, "total_steps"),
                                     .warmup = field<std::int64_t>(file, json, "warmup_steps"),
                                     .floor = field<double>(file, json, "min_lr_ratio")}));
  }
  optimizer_ = std::make_unique<AdamWOptimizer>(*pack_, options);
  load_parameters();
}

void GoldenModel::load_parameters() {
  for (const Parameter* p : pack_->parameters()) load_golden(file_, *p, p->value);
  pack_->quantize();
}

Observer GoldenModel::recorder(Decisions& seen, const Decisions* other, bool replay,
                               std::int64_t& differing) {
  return [this, &seen, other, replay, &differing](const std::string& name, const Tensor& value) {
    if (value.dtype() != DType::i8) return;
    std::vector<std::int8_t>& codes = seen[name];
    codes.resize(value.elements());
    backend_.download(codes.data(), value);
    if (!other) return;
    const auto at = other->find(name);
    check(at != other->end() && at->second.size() == codes.size(),
          "[golden] nothing to replay for ", name);
    for (std::size_t i = 0; i < codes.size(); ++i) differing += codes[i] != at->second[i];
    if (replay) backend_.upload(value, at->second.data());
  };
}

std::vector<double> GoldenModel::logits(const Observer& observe) {
  const Tensor ids = upload_ids(backend_, golden_shape(file_), file_.read_i32("input_ids"));
  return download_real(model_->logits({.observe = observe}, ids));
}

double GoldenModel::backward(const std::vector<std::int32_t>& ids,
                             const std::vector<std::int32_t>& targets, Shape shape,
                             const Observer& observe) {
  const Tensor weight(backend_, {1}, model_->options().dtype);
  upload_real(weight, {1.0 / double(ids.size())});
  Tape tape;
  const Var loss = model_
                       ->loss({.tape = &tape, .observe = observe}, upload_ids(backend_, shape, ids),
                              upload_ids(backend_, shape, targets), weight)
                       .loss;
  optimizer_->add_loss(loss.value);
  tape.backward(loss);
  return download_real(loss.value)[0];
}

double GoldenModel::loss_and_gradients(const Observer& observe) {
  optimizer_->begin_step(0, 0);
  const double loss = backward(file_.read_i32("input_ids"), file_.read_i32("target_ids"),
                               golden_shape(file_), observe);
  pack_->finish_gradients();
  return loss;
}

GoldenModel::Step GoldenModel::train_step(int step, double rate, const Observer& observe) {
  const auto& e = file_.entry("train.tokens");
  require(e.shape.size() == 3 && step < e.shape[0] && e.shape[2] > 1, Fault::input,
          file_.path().string(), ": tensor 'train.tokens': expected (steps, B, T+1)");
  const std::int64_t B = e.shape[1], T = e.shape[2] - 1;
  const std::vector<std::int32_t> tokens = file_.read_i32("train.tokens");
  std::vector<std::int32_t> ids, targets;
  for (std::int64_t b = 0; b < B; ++b) {
    const auto row = tokens.begin() + (step * B + b) * (T + 1);
    ids.insert(ids.end(), row, row + T);
    targets.insert(targets.end(), row + 1, row + T + 1);
  }
  optimizer_->begin_step(rate, weight_decay_);
  backward(ids, targets, {B, T}, observe);
  const UpdateReport report = optimizer_->step().report();
  return {.loss = report.loss, .grad_norm = report.grad_norm};
}

int GoldenModel::train_steps() const {
  return file_.contains("train.tokens") ? int(file_.entry("train.tokens").shape.at(0)) : 0;
}

double GoldenModel::rate(int step) const {
  check(schedule_ != nullptr, "[golden] this file has no training schedule");
  return peak_rate_ * schedule_->at(step);
}

}  // namespace tern
