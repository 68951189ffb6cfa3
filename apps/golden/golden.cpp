#include "apps/golden/golden.h"

#include <algorithm>
#include <cmath>

#include "core/backend.h"
#include "runtime/huggingface.h"
#include "runtime/memory_plan.h"

namespace tern {
namespace {

// largest |a - b| over the largest |b|; NaN if anything is not finite
double relative_error(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return NAN;
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) return NAN;
    difference = std::max(difference, std::abs(a[i] - b[i]));
    size = std::max(size, std::abs(b[i]));
  }
  return size > 0 ? difference / size : difference;
}

void note(GoldenResult& result, double error, const std::string& where) {
  if (!(error <= result.worst) || result.where.empty()) {
    result.worst = error;
    result.where = where;
  }
}

// With memory for all that is compared.
std::unique_ptr<Backend> backend_for(const SafetensorsFile& file, DType dtype,
                                     const Device& device) {
  return make_backend(device, [&](Backend& dry) {
    GoldenModel model(file, dtype, dry);
    model.logits({});
    model.loss_and_gradients({});
    if (model.train_steps() > 0) model.train_step(0, 0, {});
  });
}

// The model under test and, for f32, the float64 model with the decisions to replay.
class Comparison {
 public:
  Comparison(const SafetensorsFile& file, DType dtype, const Device& device)
      : file_(file),
        backend_(backend_for(file, dtype, device)),
        ours_(file, dtype, *backend_),
        replays_(dtype != DType::f64) {
    if (replays_) {
      exact_backend_ = backend_for(file, DType::f64, Device("cpu"));
      exact_ = std::make_unique<GoldenModel>(file, DType::f64, *exact_backend_);
    }
    tolerance_ = replays_ ? 1e-5 : 1e-6;
  }

  GoldenReport run() {
    if (replays_) count_differing();
    compare_logits();
    compare_gradients();
    if (ours_.train_steps() > 0) compare_training();
    return std::move(report_);
  }

 private:
  Observer record() { return exact_->recorder(decisions_, nullptr, false, ignored_); }
  Observer replay() {
    return replays_ ? ours_.recorder(seen_, &decisions_, true, ignored_) : Observer{};
  }

  void count_differing() {
    exact_->logits(record());
    ours_.logits(ours_.recorder(seen_, &decisions_, false, report_.differing_decisions));
    for (const auto& [name, codes] : decisions_) report_.decisions += std::int64_t(codes.size());
    ours_.load_parameters();
  }

  void compare_logits() {
    if (replays_) exact_->logits(record());
    GoldenResult r{.kind = "logits", .tolerance = tolerance_};
    note(r, relative_error(ours_.logits(replay()), file_.read_real("logits")), "logits");
    report_.results.push_back(r);
  }

  void compare_gradients() {
    if (replays_) exact_->loss_and_gradients(record());
    const double loss = ours_.loss_and_gradients(replay());
    GoldenResult l{.kind = "loss", .tolerance = tolerance_};
    note(l, relative_error({loss}, file_.read_real("loss")), "loss");
    GoldenResult g{.kind = "gradients", .tolerance = tolerance_};
    for (const Parameter* p : ours_.pack().parameters())
      note(g,
           relative_error(download_real(p->grad.tensor),
                          golden_values(file_, "grad.", ours_.model(), *p)),
           p->name);
    report_.results.push_back(l);
    report_.results.push_back(g);
  }

  void compare_training() {
    const std::vector<double> rates = file_.read_real("train.lr"),
                              losses = file_.read_real("train.loss"),
                              norms = file_.read_real("train.grad_norm");
    const std::size_t steps = std::size_t(ours_.train_steps());
    require(rates.size() == steps && losses.size() == steps && norms.size() == steps, Fault::input,
            file_.path().string(), ": expected ", steps, " values in train.lr, .loss, .grad_norm");
    GoldenResult rate{.kind = "rates", .tolerance = 1e-12},
        loss{.kind = "training losses", .tolerance = tolerance_},
        norm{.kind = "gradient norms", .tolerance = tolerance_};
    for (std::size_t s = 0; s < steps; ++s) {
      const std::string where = "step " + std::to_string(s);
      const double now = ours_.rate(int(s));
      note(rate, relative_error({now}, {rates[s]}), where);
      if (replays_) exact_->train_step(int(s), now, record());
      const auto step = ours_.train_step(int(s), now, replay());
      note(loss, relative_error({step.loss}, {losses[s]}), where);
      note(norm, relative_error({step.grad_norm}, {norms[s]}), where);
    }
    report_.results.insert(report_.results.end(), {rate, loss, norm});
  }

  const SafetensorsFile& file_;
  std::unique_ptr<Backend> backend_, exact_backend_;
  GoldenModel ours_;
  std::unique_ptr<GoldenModel> exact_;
  bool replays_;
  double tolerance_ = 0;
  Decisions decisions_, seen_;
  std::int64_t ignored_ = 0;
  GoldenReport report_;
};

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

// What a trajectory says about the decay of weights: matrices and head, as here. Two texts say so.
void require_decay(const SafetensorsFile& file, const nlohmann::json& json) {
  const std::string ours = "every *_proj.weight, lm_head.weight; ";
  const std::string got = json.value("decay", nlohmann::json(ours + "nothing else")).dump();
  require(got == nlohmann::json(ours + "nothing else").dump() ||
              got == nlohmann::json(ours + "not embeddings, norms, lower_bounds").dump(),
          Fault::input, file.path().string(), ": metadata: decay: expected \"", ours,
          "nothing else\", got ", got, ": this build computes no other");
}

}  // namespace

bool GoldenReport::passed() const {
  return std::all_of(results.begin(), results.end(), [](const auto& r) { return r.passed(); });
}

GoldenReport check_golden(const std::filesystem::path& file, DType dtype, const Device& device) {
  const SafetensorsFile golden = SafetensorsFile::open(file);
  return Comparison(golden, dtype, device).run();
}

ModelConfig golden_config(const SafetensorsFile& file) {
  const std::string where = file.path().string() + ": metadata 'config'";
  nlohmann::json json = parse_json(metadata(file, "config"), where);
  if (json.is_object() && !json.contains("model_type")) json["model_type"] = "hgrn_bit";
  return read_huggingface_config(json, where).model;
}

Shape golden_shape(const SafetensorsFile& file) {
  const auto& e = file.entry("input_ids");
  require(e.shape.size() == 2, Fault::input, file.path().string(),
          ": tensor 'input_ids': expected rank 2, got ", e.shape.size());
  return {e.shape[0], e.shape[1]};
}

std::vector<double> golden_values(const SafetensorsFile& file, const std::string& prefix,
                                  const Model& model, const Parameter& p) {
  std::vector<double> all;
  for (const HuggingFaceTensor& t : huggingface_tensors(model)) {
    if (t.parameter != &p) continue;
    const std::vector<double> values = file.read_real(prefix + t.name);
    const Index expected = t.rows * p.shape.product(1, p.shape.rank());
    require(Index(values.size()) == expected, Fault::input, file.path().string(), ": tensor '",
            prefix, t.name, "': expected ", expected, " elements, got ", values.size());
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
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
    require_decay(file, json);
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
  for (const Parameter* p : pack_->parameters())
    upload_real(p->value, golden_values(file_, "param.", *model_, *p));
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
