// What a hardware team does with a trace: every array read back, every step recomputed from the
// arrays that its formula names.
#include "apps/trace/trace.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/cpu/cpu_backend.h"
#include "core/rng.h"
#include "data/io/json.h"
#include "data/io/safetensors.h"
#include "tests/support/npy.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

constexpr const char* kGolden = "tests/golden/tiny_model.safetensors";

using Reals = std::vector<double>;

Outcome trace(std::vector<std::string> args) {
  args.insert(args.begin(), {sibling_program("tern"), "trace"});
  return run({.args = args});
}

// Weights at two bits leave the trace of the same weights at a byte each.
TEST(TraceOfTiles, IsThatOfBytes) {
  const TemporaryDirectory d;
  CpuBackend cpu(std::size_t(8) << 20);
  std::map<std::string, std::string> files[2];
  for (const DType codes : {DType::i8, DType::t2}) {
    Model model({.vocab_size = 29, .width = 21, .layers = 2, .explicit_glu_width = 35}, {});
    InferenceWeights weights(cpu, model.parameters(), DType::f32, {}, codes);
    for (std::size_t i = 0; i < model.parameters().size(); ++i)
      weights.set(*model.parameters()[i], [&](const Tensor& values) {
        std::vector<double> x(std::size_t(values.elements()));
        for (std::size_t k = 0; k < x.size(); ++k) x[k] = Rng(i + 1).normal(k);
        upload_real(values, x);
      });
    ArrayDirectory out(d / name_of(codes));
    trace(model, {1, 3}, {5, 2, 7}, out);
    for (const auto& file : std::filesystem::directory_iterator(d / name_of(codes)))
      files[codes == DType::t2][file.path().filename()] = read_text(file.path());
  }
  EXPECT_GT(files[0].size(), 50u);
  EXPECT_TRUE(files[0] == files[1]);
}

struct Trace {
  nlohmann::json index;
  std::map<std::string, NpyArray> arrays;

  explicit Trace(const TemporaryDirectory& d)
      : index(parse_json(read_text(d / "t/index.json"), "index.json")) {
    for (const auto& a : index["arrays"])
      arrays[a["name"]] = read_npy(d / ("t/" + a["file"].get<std::string>()));
  }
  Reals real(const std::string& name) const { return arrays.at(name).values<double>(); }
  std::vector<std::int8_t> codes(const std::string& name) const {
    return arrays.at(name).values<std::int8_t>();
  }
};

double worst_difference(const Reals& a, const Reals& b) {
  double worst = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i)
    worst = std::max(worst, std::isfinite(a[i]) ? std::abs(a[i] - b[i]) : INFINITY);
  return worst;
}

Reals rms_norm(const Reals& x, const Reals& w) {
  const std::size_t D = w.size();
  Reals y(x.size());
  for (std::size_t n = 0; n < x.size(); n += D) {
    double squares = 0;
    for (std::size_t i = 0; i < D; ++i) squares += x[n + i] * x[n + i];
    for (std::size_t i = 0; i < D; ++i) y[n + i] = x[n + i] / std::sqrt(squares / D + 1e-6) * w[i];
  }
  return y;
}

class TraceOfGolden : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const TemporaryDirectory d;
    const Outcome o = trace({"--golden", kGolden, "--out", d / "t"});
    ASSERT_EQ(o.exit_code, 0) << o.err;
    trace_ = std::make_unique<Trace>(d);
  }
  static void TearDownTestSuite() { trace_.reset(); }
  static std::unique_ptr<Trace> trace_;
};
std::unique_ptr<Trace> TraceOfGolden::trace_;

TEST_F(TraceOfGolden, IndexDescribesEveryFile) {
  const std::map<std::string, std::string> descr = {
      {"float64", "<f8"}, {"int32", "<i4"}, {"int8", "|i1"}};
  const int layers = trace_->index["model"]["num_hidden_layers"];
  EXPECT_EQ(trace_->index["format"], "tern-trace");
  int sums = 0;
  for (const auto& a : trace_->index["arrays"]) {
    const NpyArray& file = trace_->arrays.at(a["name"]);
    EXPECT_EQ(a["shape"].get<std::vector<std::int64_t>>(), file.shape) << a;
    EXPECT_EQ(descr.at(a["dtype"]), file.descr) << a;
    EXPECT_FALSE(a["formula"].get<std::string>().empty()) << a;
    sums += a["name"].get<std::string>().ends_with(".sums");
  }
  EXPECT_EQ(sums, 6 * layers + 1);
  EXPECT_TRUE(trace_->arrays.contains("model.lower_bounds"));
  EXPECT_FALSE(trace_->arrays.contains("model.layers.0.bound"));
}

TEST_F(TraceOfGolden, ProductsAreTheirSumsToTheBit) {
  for (const auto& [name, array] : trace_->arrays) {
    if (!name.ends_with(".sums")) continue;
    const std::string prefix = name.substr(0, name.size() - 4);
    const auto q = trace_->codes(prefix + "input.q"), t = trace_->codes(prefix + "weight.q");
    const auto sums = array.values<std::int32_t>();
    const Reals row_scale = trace_->real(prefix + "input.scale"),
                scale = trace_->real(prefix + "weight.scale"), y = trace_->real(prefix + "output");
    const std::size_t N = array.shape[0], O = array.shape[1], I = q.size() / N;
    ASSERT_EQ(t.size(), O * I) << name;
    std::size_t different = 0;
    for (std::size_t at = 0; at < N * O; ++at) {
      std::int32_t sum = 0;
      for (std::size_t i = 0; i < I; ++i)
        sum += std::int32_t(q[at / O * I + i]) * t[at % O * I + i];
      different += sum != sums[at] || y[at] != double(sum) / (row_scale[at / O] * scale[0]);
    }
    EXPECT_EQ(different, 0u) << name;
  }
}

TEST_F(TraceOfGolden, CodesAreTheRoundedRows) {
  const auto check = [&](const std::string& projection, const std::string& x,
                         const std::string& block_norm) {
    const Reals n = rms_norm(rms_norm(trace_->real(x), trace_->real(block_norm)),
                             trace_->real(projection + ".norm.weight"));
    const auto q = trace_->codes(projection + ".input.q");
    const Reals scale = trace_->real(projection + ".input.scale");
    ASSERT_EQ(n.size(), q.size());
    const std::size_t D = n.size() / scale.size();
    double top = 0, worst = 0;
    for (std::size_t i = 0; i < n.size(); ++i) {
      top = i % D ? std::max(top, std::abs(n[i])) : std::abs(n[i]);
      worst = std::max(worst, std::abs(q[i] - n[i] * scale[i / D]));
      if (i % D == D - 1) {
        EXPECT_NEAR(scale[i / D], 127 / top, 1e-9);
      }
    }
    EXPECT_LE(worst, 0.5 + 1e-9) << projection;
  };
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    for (const char* name : {"attn.i_proj", "attn.f_proj", "attn.g_proj"})
      check(layer + name, layer + "input", layer + "attn_norm.weight");
    check(layer + "mlp.gate_proj", layer + "middle", layer + "mlp_norm.weight");
  }
  check("lm_head", "model.output", "model.norm.weight");
}

TEST_F(TraceOfGolden, StatesFollowFromGateAndCandidate) {
  const std::size_t T = trace_->index["T"];
  const Reals lower = trace_->real("model.layers.1.bound");
  const std::size_t D = lower.size();
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    const Reals f_in = trace_->real(layer + "attn.f_proj.output"),
                c_in = trace_->real(layer + "attn.i_proj.output"),
                h = trace_->real(layer + "attn.state");
    Reals f(h.size()), c(h.size()), expected(h.size());
    for (std::size_t i = 0; i < h.size(); ++i) {
      const double bound = layer == "model.layers.0." ? 0 : lower[i % D];
      f[i] = bound + (1 - bound) / (1 + std::exp(-f_in[i]));
      c[i] = c_in[i] / (1 + std::exp(-c_in[i]));
      const double before = i / D % T ? expected[i - D] : 0;
      expected[i] = f[i] * before + (1 - f[i]) * c[i];
    }
    EXPECT_LE(worst_difference(trace_->real(layer + "attn.forget_gate"), f), 1e-12);
    EXPECT_LE(worst_difference(trace_->real(layer + "attn.candidate"), c), 1e-12);
    EXPECT_LE(worst_difference(h, expected), 1e-12);
  }
}

TEST_F(TraceOfGolden, ResidualStreamAndLogits) {
  const auto sum = [&](const std::string& a, const std::string& b) {
    Reals y = trace_->real(a);
    const Reals z = trace_->real(b);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += z.at(i);
    return y;
  };
  EXPECT_EQ(trace_->real("model.layers.0.middle"),
            sum("model.layers.0.input", "model.layers.0.attn.o_proj.output"));
  EXPECT_EQ(trace_->real("model.layers.1.input"),
            sum("model.layers.0.middle", "model.layers.0.mlp.down_proj.output"));

  const auto golden = SafetensorsFile::open(kGolden);
  const Reals logits = golden.read_real("logits");
  double top = 0;
  for (const double y : logits) top = std::max(top, std::abs(y));
  EXPECT_LE(worst_difference(trace_->real("lm_head.output"), logits), 1e-6 * top);
  EXPECT_EQ(trace_->arrays.at("ids").values<std::int32_t>(), golden.read_i32("input_ids"));
}

TEST(Trace, TokensOfTheUser) {
  const TemporaryDirectory d;
  const Outcome o = trace({"--golden", kGolden, "--tokens", "5,0,7", "--out", d / "t"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  const Trace t(d);
  EXPECT_EQ(t.arrays.at("ids").values<std::int32_t>(), (std::vector<std::int32_t>{5, 0, 7}));
  EXPECT_EQ(t.arrays.at("lm_head.output").shape[0], 3);
}

TEST(Trace, MistakesAreNamed) {
  const TemporaryDirectory d;
  write_text(d / "full", "x");
  const Outcome full = trace({"--golden", kGolden, "--out", d.path()});
  EXPECT_EQ(full.exit_code, 2);
  EXPECT_NE(full.err.find("expected a new or an empty directory"), std::string::npos) << full.err;
  const Outcome beyond = trace({"--golden", kGolden, "--tokens", "1,99999", "--out", d / "t"});
  EXPECT_EQ(beyond.exit_code, 2);
  EXPECT_NE(beyond.err.find("99999"), std::string::npos) << beyond.err;
  EXPECT_EQ(trace({"--golden", kGolden, "--text", "hello", "--out", d / "t"}).exit_code, 2);
  EXPECT_EQ(trace({"--checkpoint", d.path(), "--out", d / "t"}).exit_code, 2);
  EXPECT_EQ(trace({"--golden", d / "none", "--out", d / "t"}).exit_code, 3);
  EXPECT_FALSE(std::filesystem::exists(d / "t"));
}

}  // namespace
}  // namespace tern
