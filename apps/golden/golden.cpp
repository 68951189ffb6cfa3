#include "apps/golden/golden.h"

#include <algorithm>
#include <cmath>

#include "apps/golden/golden_model.h"
#include "core/host.h"
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
      note(g, relative_error(download_real(p->grad.tensor), file_.read_real("grad." + p->name)),
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

}  // namespace

bool GoldenReport::passed() const {
  return std::all_of(results.begin(), results.end(), [](const auto& r) { return r.passed(); });
}

GoldenReport check_golden(const std::filesystem::path& file, DType dtype, const Device& device) {
  const SafetensorsFile golden = SafetensorsFile::open(file);
  return Comparison(golden, dtype, device).run();
}

}  // namespace tern
