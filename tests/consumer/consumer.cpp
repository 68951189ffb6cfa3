// The unit tests of another team, with tern as the reference implementation: exit code 0 only if
// the accelerator's integers are tern's to the bit and its states are tern's to 1e-12.
#include <cmath>
#include <cstdio>
#include <map>

#include "accelerator.h"
#include "autograd/ops.h"
#include "core/backend.h"
#include "core/cpu/cpu_backend.h"
#include "core/parameter_pack.h"
#include "core/rng.h"
#include "layers/model.h"

namespace {

using namespace tern;

bool report(const char* what, std::size_t values, double worst, double tolerance) {
  std::printf("%-28s %6zu values, worst difference %.1e, allowed %.0e: %s\n", what, values, worst,
              tolerance, worst <= tolerance ? "ok" : "MISMATCH");
  return worst <= tolerance;
}

double worst_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double worst = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i)
    worst = std::isfinite(a[i] - b[i]) ? std::max(worst, std::abs(a[i] - b[i])) : INFINITY;
  return worst;
}

std::vector<std::int8_t> codes(CpuBackend& cpu, const Tensor& from) {
  std::vector<std::int8_t> to(from.elements());
  cpu.download(to.data(), from);
  return to;
}

std::vector<double> noise(std::uint64_t stream, int count) {  // uniform in (-3, 3)
  std::vector<double> values(count);
  for (int i = 0; i < count; ++i) values[i] = Rng(1, stream).uniform(i) * 6 - 3;
  return values;
}

// One BitLinear product on random data: tern quantises, both multiply.
bool check_product(CpuBackend& cpu) {
  constexpr int N = 5, O = 37, I = 203;
  const Tensor x(cpu, {N, I}, DType::f64), w(cpu, {O, I}, DType::f64), y(cpu, {N, O}, DType::f64);
  upload_real(x, noise(1, N * I));
  upload_real(w, noise(2, O * I));
  const Quantized xq{.q = Tensor(cpu, {N, I}, DType::i8),
                     .row_scale = Tensor(cpu, {N}, DType::f64)};
  cpu.run(QuantizeRows{.y = xq, .x = x});
  const QuantizedVar quantized = quantize_ternary({w});
  const TernaryWeight wt{.t = quantized.codes.value, .scale = quantized.scale};
  const auto sums = accelerator::ternary_sums(codes(cpu, xq.q), codes(cpu, wt.t), N, O, I);

  const auto row_scale = download_real(xq.row_scale);
  const double scale = download_real(wt.scale)[0];
  std::vector<double> expected(sums.begin(), sums.end());
  for (int i = 0; i < N * O; ++i) expected[i] /= row_scale[i / O] * scale;
  cpu.run(TernaryProduct{.y = y, .x = xq, .w = wt});
  const bool same =
      report("product, scaled", sums.size(), worst_difference(download_real(y), expected), 0);

  cpu.fill(xq.row_scale, 1);  // with scales of 1 the product is the integer sum itself
  cpu.fill(wt.scale, 1);
  cpu.run(TernaryProduct{.y = y, .x = xq, .w = wt});
  return report("product, integer sums", sums.size(),
                worst_difference(download_real(y), {sums.begin(), sums.end()}), 0) &&
         same;
}

bool check_scan(CpuBackend& cpu) {
  constexpr int T = 64, D = 19;
  const auto f_in = noise(3, T * D), c_in = noise(4, T * D);
  auto bound = noise(5, D);
  for (double& b : bound) b = std::abs(b) / 4;
  const Tensor f(cpu, {1, T, D}, DType::f64), c(cpu, {1, T, D}, DType::f64);
  const Tensor lower(cpu, {D}, DType::f64);
  upload_real(f, f_in);
  upload_real(c, c_in);
  upload_real(lower, bound);
  const auto expected = accelerator::scan(f_in, c_in, bound, T, D);
  const Tensor h = mlgru({f}, {c}, {lower}).h.value;
  return report("scan", expected.size(), worst_difference(download_real(h), expected), 1e-12);
}

// A whole model: its observer hands over every intermediate; here those of the head.
bool check_model(CpuBackend& cpu) {
  Model model({.vocab_size = 50, .width = 32, .layers = 2, .explicit_glu_width = 48},
              {.dtype = DType::f64});
  ParameterPack pack(cpu, model.parameters(), {.dtype = DType::f64});
  pack.initialize(7);
  std::map<std::string, Tensor> seen;
  const Pass pass{.observe = [&](const std::string& name, const Tensor& t) { seen[name] = t; }};
  const Tensor logits = model.logits(pass, upload_ids(cpu, {1, 6}, {3, 1, 4, 1, 5, 9}));
  const auto sums = accelerator::ternary_sums(codes(cpu, seen.at("lm_head.input.q")),
                                              codes(cpu, seen.at("lm_head.weight.q")), 6, 50, 32);
  const auto row_scale = download_real(seen.at("lm_head.input.scale"));
  const double scale = download_real(seen.at("lm_head.weight.scale"))[0];
  std::vector<double> expected(sums.begin(), sums.end());
  for (std::size_t i = 0; i < sums.size(); ++i) expected[i] /= row_scale[i / 50] * scale;
  return report("logits of a model", sums.size(), worst_difference(download_real(logits), expected),
                0);
}

}  // namespace

int main() {
  CpuBackend cpu(std::size_t(64) << 20);
  const bool product = check_product(cpu), scan = check_scan(cpu), model = check_model(cpu);
  return product && scan && model ? 0 : 1;
}
