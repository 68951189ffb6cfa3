#include "tests/layers/plain_model.h"

#include <algorithm>
#include <cmath>

#include "core/backend.h"

namespace tern {
namespace {

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}
double silu(double x) {
  return x * sigmoid(x);
}

}  // namespace

PlainModel::PlainModel(Model& model) : config_(model.config()) {
  for (const Parameter* p : model.parameters()) {
    const Values w = parameters_[p->name] = download_real(p->value);
    if (!p->ternary) continue;
    double mean = 0;
    for (const double e : w) mean += std::abs(e) / double(w.size());
    auto& [codes, scale] = ternary_[p->name];
    scale = 1 / std::max(mean, 1e-5);
    for (const double e : w) codes.push_back(std::clamp(std::nearbyint(e * scale), -1.0, 1.0));
  }
}

PlainModel::Values PlainModel::norm(const Values& x, const std::string& weight) const {
  double square = 0;
  for (const double e : x) square += e * e / double(x.size());
  Values y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    y[i] = x[i] / std::sqrt(square + config_.rms_norm_eps) * parameter(weight)[i];
  return y;
}

PlainModel::Values PlainModel::bit_linear(const Values& u, const std::string& name) const {
  const Values n = norm(u, name + ".norm.weight");
  double top = 1e-5;
  for (const double e : n) top = std::max(top, std::abs(e));
  const double sx = 127 / top;
  const auto& [codes, sw] = ternary_.at(name + ".weight");
  Values y(codes.size() / n.size());
  for (std::size_t o = 0; o < y.size(); ++o) {
    for (std::size_t i = 0; i < n.size(); ++i)
      y[o] += std::clamp(std::nearbyint(n[i] * sx), -128.0, 127.0) * codes[o * n.size() + i];
    y[o] /= sx * sw;
  }
  return y;
}

// of the forget gates; empty: none
PlainModel::Values PlainModel::bound(std::size_t layer) const {
  if (!config_.use_lower_bound || layer == 0) return {};
  const Values& b = parameter("model.lower_bounds");
  const std::size_t D = std::size_t(config_.width), L = std::size_t(config_.layers);
  Values sum(D);
  for (std::size_t d = 0; d < D; ++d) {
    double all = 0, top = b[d];
    for (std::size_t l = 0; l < L; ++l) top = std::max(top, b[l * D + d]);
    for (std::size_t l = 0; l < L; ++l) all += std::exp(b[l * D + d] - top);
    for (std::size_t l = 1; l <= layer; ++l) sum[d] += std::exp(b[l * D + d] - top) / all;
  }
  return sum;
}

void PlainModel::run_layer(std::size_t layer, Values& x, Values& state) const {
  const std::string name = "model.layers." + std::to_string(layer) + ".";
  const Values u = norm(x, name + "attn_norm.weight"), low = bound(layer);
  const Values i = bit_linear(u, name + "attn.i_proj"), f = bit_linear(u, name + "attn.f_proj");
  Values p(x.size());
  if (config_.use_output_gate)
    p = norm(bit_linear(u, name + "attn.g_proj"), name + "attn.g_norm.weight");
  for (std::size_t d = 0; d < x.size(); ++d) {
    const double gate = low.empty() ? sigmoid(f[d]) : low[d] + (1 - low[d]) * sigmoid(f[d]);
    state[d] = gate * state[d] + (1 - gate) * silu(i[d]);
    p[d] = config_.use_output_gate ? p[d] * silu(state[d]) : state[d];
  }
  const Values mixed = bit_linear(p, name + "attn.o_proj");
  for (std::size_t d = 0; d < x.size(); ++d) x[d] += mixed[d];
  const Values ab = bit_linear(norm(x, name + "mlp_norm.weight"), name + "mlp.gate_proj");
  Values hidden(ab.size() / 2);
  for (std::size_t k = 0; k < hidden.size(); ++k) hidden[k] = silu(ab[k]) * ab[hidden.size() + k];
  const Values down = bit_linear(hidden, name + "mlp.down_proj");
  for (std::size_t d = 0; d < x.size(); ++d) x[d] += down[d];
}

std::vector<double> PlainModel::logits(const std::vector<std::int32_t>& ids) const {
  const std::size_t D = std::size_t(config_.width);
  std::vector<Values> states(std::size_t(config_.layers), Values(D));
  Values all;
  for (const std::int32_t id : ids) {
    const Values& table = parameter("model.embeddings.weight");
    Values x(table.begin() + id * config_.width, table.begin() + (id + 1) * config_.width);
    for (std::size_t l = 0; l < states.size(); ++l) run_layer(l, x, states[l]);
    const Values row = bit_linear(norm(x, "model.norm.weight"), "lm_head");
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

double PlainModel::loss(const std::vector<std::int32_t>& ids,
                        const std::vector<std::int32_t>& targets, std::size_t T) const {
  const std::size_t V = std::size_t(config_.vocab_size);
  double sum = 0;
  for (std::size_t first = 0; first < ids.size(); first += T) {
    const Values y = logits({ids.begin() + first, ids.begin() + first + T});
    for (std::size_t t = 0; t < T; ++t) {
      const double* row = &y[t * V];
      const double top = *std::max_element(row, row + V);
      double total = 0;
      for (std::size_t v = 0; v < V; ++v) total += std::exp(row[v] - top);
      sum += std::log(total) - (row[targets[first + t]] - top);
    }
  }
  return sum / double(ids.size());
}

}  // namespace tern
