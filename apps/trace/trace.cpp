#include "apps/trace/trace.h"

#include <cmath>

#include "apps/trace/formulas.h"
#include "apps/version.h"
#include "core/host.h"

namespace tern {
namespace {

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

class Tracer {
 public:
  Tracer(Model& model, ArrayDirectory& out) : model_(model), out_(out) {}

  // what enters the arithmetic beside the ternary matrices and the rows of the embedding
  void write_small_parameters() {
    for (const Parameter* p : model_.parameters())
      if (p->sharding == Sharding::replicated) write(p->name, p->value);
  }

  void see(const std::string& name, const Tensor& value) {
    if (name.ends_with(".attn.state")) write_gates(name.substr(0, name.size() - 5), value.shape());
    write(name, value);
    if (name.ends_with(".q")) codes_[name] = download<std::int8_t>(value);
    if (name.ends_with(".bound") || name.ends_with("f_proj.output") ||
        name.ends_with("i_proj.output"))
      reals_[name] = download_real(value);
    if (name.ends_with(".output")) write_sums(name.substr(0, name.size() - 6), value.shape());
  }

  void write(const std::string& name, const Tensor& value) {
    std::vector<std::byte> bytes(value.bytes());
    model_.backend().download(bytes.data(), value);
    out_.add(name, formula_of(name), value.dtype(), value.shape(), bytes);
  }

 private:
  template <class T>
  std::vector<T> download(const Tensor& from) const {
    std::vector<T> to(from.elements());
    model_.backend().download(to.data(), from);
    return to;
  }

  // prefix: a projection's name and a dot
  void write_sums(const std::string& prefix, const Shape& shape) {
    const auto q = codes_.find(prefix + "input.q"), t = codes_.find(prefix + "weight.q");
    if (q == codes_.end() || t == codes_.end()) return;
    const auto sums = ternary_sums(q->second, t->second, Index(q->second.size()) / shape[0]);
    out_.add(prefix + "sums", formula_of(prefix + "sums"), DType::i32, shape,
             std::as_bytes(std::span(sums)));
    codes_.clear();
  }

  // prefix: "model.layers.3.attn."
  void write_gates(const std::string& prefix, const Shape& shape) {
    std::vector<double> f = reals_.at(prefix + "f_proj.output"),
                        c = reals_.at(prefix + "i_proj.output");
    const auto bound = reals_.find(prefix.substr(0, prefix.size() - 5) + "bound");
    for (std::size_t i = 0; i < f.size(); ++i) {
      const double low = bound == reals_.end() ? 0 : bound->second[i % bound->second.size()];
      f[i] = low + (1 - low) * sigmoid(f[i]);
      c[i] = c[i] * sigmoid(c[i]);
    }
    write_real(prefix + "forget_gate", f, shape);
    write_real(prefix + "candidate", c, shape);
    reals_.clear();
  }

  void write_real(const std::string& name, const std::vector<double>& values, const Shape& shape) {
    const std::vector<float> narrow(values.begin(), values.end());
    const bool wide = model_.options().dtype == DType::f64;
    out_.add(name, formula_of(name), model_.options().dtype, shape,
             wide ? std::as_bytes(std::span(values)) : std::as_bytes(std::span(narrow)));
  }

  Model& model_;
  ArrayDirectory& out_;
  std::map<std::string, std::vector<std::int8_t>> codes_;  // of the product under way
  std::map<std::string, std::vector<double>> reals_;       // of the layer under way
};

nlohmann::ordered_json about(const Model& model, const Shape& shape) {
  const ModelConfig& c = model.config();
  return {{"format", "tern-trace"},
          {"format_version", 1},
          {"tern", version()},
          {"B", shape[0]},
          {"T", shape[1]},
          {"model",
           {{"vocab_size", c.vocab_size},
            {"hidden_size", c.width},
            {"intermediate_size", c.glu_width()},
            {"num_hidden_layers", c.layers},
            {"use_lower_bound", c.use_lower_bound},
            {"rms_norm_eps", c.rms_norm_eps},
            {"quantize", c.quantize == Quantize::ternary ? "ternary" : "none"}}}};
}

}  // namespace

std::vector<std::int32_t> ternary_sums(std::span<const std::int8_t> q,
                                       std::span<const std::int8_t> t, Index I) {
  std::vector<std::int32_t> sums;
  sums.reserve(q.size() / I * (t.size() / I));
  for (const std::int8_t* row = q.data(); row != q.data() + q.size(); row += I)
    for (const std::int8_t* code = t.data(); code != t.data() + t.size(); code += I) {
      std::int32_t sum = 0;
      for (Index i = 0; i < I; ++i) sum += std::int32_t(row[i]) * code[i];
      sums.push_back(sum);
    }
  return sums;
}

void trace(Model& model, const Shape& shape, const std::vector<std::int32_t>& ids,
           ArrayDirectory& out) {
  Tracer tracer(model, out);
  const Tensor tokens = upload_ids(model.backend(), shape, ids);
  tracer.write("ids", tokens);
  tracer.write_small_parameters();
  model.logits({.observe = [&](const auto& name, const Tensor& t) { tracer.see(name, t); }},
               tokens);
  out.finish(about(model, shape));
}

}  // namespace tern
