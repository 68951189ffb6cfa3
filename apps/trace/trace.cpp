#include "apps/trace/trace.h"

#include <cmath>

#include "apps/system/environment.h"
#include "core/backend.h"
#include "core/check.h"
#include "core/ternary_tiles.h"
#include "data/io/files.h"
#include "data/io/stored_type.h"

namespace tern {
namespace {

// a Python tuple: (), (3,), (3, 4)
std::string tuple(const Shape& shape) {
  std::string text = "(";
  for (int i = 0; i < shape.rank(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.rank() == 1 ? ",)" : ")");
}

// magic, version, length of what follows, a Python dictionary, spaces up to a multiple of 64 bytes
std::string header(DType dtype, const Shape& shape) {
  const std::string_view descr = info_of(stored_type(dtype)).npy;
  check(!descr.empty(), "[write_npy] no NumPy type for ", dtype);
  constexpr std::size_t before = 10;
  std::string dictionary = "{'descr': '" + std::string(descr) +
                           "', 'fortran_order': False, 'shape': " + tuple(shape) + ", }";
  while ((before + dictionary.size() + 1) % 64 != 0) dictionary += ' ';
  dictionary += '\n';
  const std::size_t length = dictionary.size();  // rank <= 4: far below 64 KiB
  return std::string("\x93NUMPY\x01\x00", 8) + char(length & 0xff) + char(length >> 8) + dictionary;
}

namespace fs = std::filesystem;

struct Line {
  std::string_view name, formula;
};

constexpr std::array kArrays = {
    Line{"ids", "the tokens (B, T); row n = b T + t of the other arrays is token (b, t)"},
    Line{"bound",
         "row l of cumsum(s, over layers) less its row 0, s = softmax(lower_bounds, over "
         "layers)"},
    Line{"input",
         "embeddings[ids]; after the first layer middle + mlp.down_proj.output of the one "
         "before"},
    Line{"model.output", "middle + mlp.down_proj.output of the last layer"},
    Line{"attn.forget_gate",
         "f = sigmoid(attn.f_proj.output); with a bound, bound + (1 - bound) * f"},
    Line{"attn.candidate", "c = silu(attn.i_proj.output), silu(x) = x * sigmoid(x)"},
    Line{"attn.state",
         "h[t] = f[t] * h[t-1] + (1 - f[t]) * c[t], h[-1] = 0, element by element; f "
         "forget_gate, c candidate"},
    Line{"self_attn.heads",
         "for each head: out[t] = sum over s <= t of softmax(q[t] . k[s] / sqrt(d)) v[s]; of q and "
         "k channels i and i + d/2 are rotated by t * rope_theta^(-2i/d), and with attention = "
         "\"ternary\" rounded to -m, 0, m, m = mean |x| of the head's row"},
};

// inputs that a projection usually normalises a second time, with its own weight
constexpr std::array kProjections = {
    Line{"attn.i_proj", "rms_norm(input, attn_norm.weight)"},
    Line{"attn.f_proj", "rms_norm(input, attn_norm.weight)"},
    Line{"attn.g_proj", "rms_norm(input, attn_norm.weight)"},
    Line{"attn.o_proj", "rms_norm(attn.g_proj.output, attn.g_norm.weight) * silu(attn.state)"},
    Line{"self_attn.qkv_proj", "rms_norm(input, input_layernorm.weight)"},
    Line{"self_attn.q_proj", "rms_norm(input, input_layernorm.weight)"},
    Line{"self_attn.k_proj", "rms_norm(input, input_layernorm.weight)"},
    Line{"self_attn.v_proj", "rms_norm(input, input_layernorm.weight)"},
    Line{"self_attn.o_proj", "self_attn.heads"},
    Line{"mixer.key", "rms_norm(input, mixer_norm.weight)"},
    Line{"mixer.value", "rms_norm(input, mixer_norm.weight)"},
    Line{"mixer.gate", "rms_norm(input, mixer_norm.weight)"},
    Line{"mixer.out",
         "sigmoid(mixer.gate.output) * cumsum(k * mixer.value.output) / cumsum(k), k = "
         "exp(mixer.key.output)"},
    Line{"lm_head", "rms_norm(model.output, model.norm.weight)"},
};

template <std::size_t N>
std::optional<std::string> find(const std::array<Line, N>& lines, std::string_view name) {
  for (const Line& line : lines)
    if (line.name == name) return std::string(line.formula);
  return {};
}

// "model.layers.12.attn.state" -> "attn.state"
std::string within_layer(const std::string& name) {
  constexpr std::string_view prefix = "model.layers.";
  return name.starts_with(prefix) ? name.substr(name.find('.', prefix.size()) + 1) : name;
}

// How the arrays of a trace follow from each other, in words; inside a layer, names leave out the
// "model.layers.3." in front.
class Formulas {
 public:
  explicit Formulas(const ModelConfig& config)
      : family_(family_of(config.type)),
        own_norms_(family_.dense_norms || config.quantize == Quantize::ternary) {}

  // An unknown name is a broken contract.
  std::string of(const std::string& name) const {
    const std::string local = within_layer(name);
    if (local == "middle") return "input + " + last_projection() + ".output";
    if (const auto formula = find(kArrays, local)) return *formula;
    for (const char* part : {".input", ".weight", ".output", ".sums"}) {
      const std::size_t at = local.find(part);
      if (at == local.npos) continue;
      if (const auto formula = of_projection(local.substr(0, at), local.substr(at + 1)))
        return *formula;
    }
    check(local.ends_with("weight") || local.ends_with("lower_bounds"),
          "[trace] no formula for the array ", name);
    return "parameter";
  }

 private:
  // of the token mixer
  std::string last_projection() const {
    const std::string mixer(family_.token_mixer);
    return mixer + (mixer == "mixer" ? ".out" : ".o_proj");
  }

  // what a projection reads
  std::optional<std::string> source(const std::string& projection) const {
    if (projection == "mlp.down_proj")
      return family_.attention && own_norms_
                 ? "silu(mlp.gate_proj.output) * mlp.up_proj.output"
                 : std::string("silu(a) * b, a and b the left and right half of mlp.") +
                       (own_norms_ ? "gate_proj" : "gate_up_proj") + ".output";
    if (projection.starts_with("mlp."))
      return "rms_norm(middle, " + std::string(family_.channel_norm) + ".weight)";
    return find(kProjections, projection);
  }

  std::optional<std::string> of_projection(const std::string& projection,
                                           std::string_view part) const {
    const auto from = source(projection);
    if (!from) return {};
    if (part == "input" && !own_norms_) return *from;
    const std::string n = "n = rms_norm(" + *from + ", " + projection + ".norm.weight)";
    if (part == "input") return n;
    if (part == "input.q")
      return "clamp(round(n * scale), -128, 127), halves to even; scale = input.scale of the "
             "row, " +
             n;
    if (part == "input.scale") return "127 / max(largest |n| of the row, 1e-5); " + n;
    if (part == "weight.q")
      return "clamp(round(W * weight.scale), -1, 1), halves to even; W the trained matrix";
    if (part == "weight.scale") return "1 / max(mean |W|, 1e-5)";
    if (part == "sums") return "sum over k of input.q[n][k] * weight.q[o][k], exact";
    if (part == "output") return "sums / (input.scale * weight.scale); unquantised: input weight^T";
    return {};
  }

  const Family& family_;
  bool own_norms_;
};

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

class Tracer {
 public:
  Tracer(Model& model, ArrayDirectory& out) : model_(model), out_(out), formulas_(model.config()) {}

  // the other operands beside the ternary matrices and the rows of the embedding
  void write_small_parameters() {
    for (const Parameter* p : model_.parameters())
      if (p->sharding == Sharding::replicated) write(p->name, p->value);
  }

  void see(const std::string& name, const Tensor& value) {
    if (value.dtype() == DType::t2) return see_tiles(name, value);
    if (name.ends_with(".attn.state")) write_gates(name.substr(0, name.size() - 5), value.shape());
    write(name, value);
    if (name.ends_with(".q")) codes_[name] = download<std::int8_t>(value);
    if (name.ends_with(".bound") || name.ends_with("f_proj.output") ||
        name.ends_with("i_proj.output"))
      reals_[name] = download_real(value);
    if (name.ends_with(".output")) write_sums(name.substr(0, name.size() - 6), value.shape());
  }

  // NumPy has no bf16: as f32.
  void write(const std::string& name, const Tensor& value) {
    if (value.dtype() == DType::bf16) return write_real(name, download_real(value), value.shape());
    std::vector<std::byte> bytes(value.bytes());
    model_.backend().download(bytes.data(), value);
    out_.add(name, formulas_.of(name), value.dtype(), value.shape(), bytes);
  }

 private:
  template <class T>
  std::vector<T> download(const Tensor& from) const {
    std::vector<T> to(from.elements());
    model_.backend().download(to.data(), from);
    return to;
  }

  // A ternary matrix at two bits, for which NumPy has no type: as int8.
  void see_tiles(const std::string& name, const Tensor& value) {
    const auto [O, I] = dims<2>(value, "[trace] weights (O, I)");
    std::vector<TernaryTile> tiles(std::size_t(tiles_of(O, I)));
    model_.backend().download(tiles.data(), value);
    std::vector<std::int8_t> codes(std::size_t(O * I));
    unpack_tiles(codes.data(), tiles.data(), 0, O, I);
    out_.add(name, formulas_.of(name), DType::i8, value.shape(), std::as_bytes(std::span(codes)));
    codes_[name] = std::move(codes);
  }

  // prefix: a projection's name and a dot
  void write_sums(const std::string& prefix, const Shape& shape) {
    const auto q = codes_.find(prefix + "input.q"), t = codes_.find(prefix + "weight.q");
    if (q == codes_.end() || t == codes_.end()) return;
    const auto sums = ternary_sums(q->second, t->second, Index(q->second.size()) / shape[0]);
    out_.add(prefix + "sums", formulas_.of(prefix + "sums"), DType::i32, shape,
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
    out_.add(name, formulas_.of(name), model_.options().dtype, shape,
             wide ? std::as_bytes(std::span(values)) : std::as_bytes(std::span(narrow)));
  }

  Model& model_;
  ArrayDirectory& out_;
  Formulas formulas_;
  std::map<std::string, std::vector<std::int8_t>> codes_;  // of the product under way
  std::map<std::string, std::vector<double>> reals_;       // of the layer under way
};

nlohmann::ordered_json about(const Model& model, const Shape& shape) {
  const ModelConfig& c = model.config();
  nlohmann::ordered_json config = {
      {"type", c.type},
      {"vocab_size", c.vocab_size},
      {"hidden_size", c.width},
      {"intermediate_size", c.glu_width()},
      {"num_hidden_layers", c.layers},
      {"rms_norm_eps", c.rms_norm_eps},
      {"quantize", c.quantize == Quantize::ternary ? "ternary" : "none"}};
  const Family& family = family_of(c.type);
  if (family.output_gate) config["use_output_gate"] = c.use_output_gate;
  if (family.lower_bounds) config["use_lower_bound"] = c.use_lower_bound;
  if (family.attention) {
    config["num_attention_heads"] = c.heads();
    config["rope_theta"] = c.rope_theta;
    config["attention"] = c.attention == AttentionKind::ternary ? "ternary" : "dense";
  }
  return {{"format", "tern-trace"}, {"format_version", 1}, {"tern", version()},
          {"B", shape[0]},          {"T", shape[1]},       {"model", config}};
}

}  // namespace

std::string_view numpy_name(DType dtype) {
  const std::string_view name = info_of(stored_type(dtype)).numpy;
  check(!name.empty(), "[numpy_name] no NumPy type for ", dtype);
  return name;
}

void write_npy(const std::filesystem::path& path, DType dtype, const Shape& shape,
               std::span<const std::byte> bytes) {
  check(Index(bytes.size()) == shape.elements() * bits(dtype) / 8, "[write_npy] expected ", shape,
        " ", dtype, ", got ", bytes.size(), " bytes");
  const std::string head = header(dtype, shape);
  File file = File::create(path);
  file.write_all(std::as_bytes(std::span(head)));
  file.write_all(bytes);
  file.close();
}

ArrayDirectory::ArrayDirectory(const fs::path& path) : path_(path) {
  std::error_code error;
  const bool there = fs::exists(path, error);
  require(!there || (fs::is_directory(path, error) && fs::is_empty(path, error)), Fault::usage,
          path.string(), ": expected a new or an empty directory");
  fs::create_directories(path, error);
  require(!error, Fault::disk, path.string(), ": cannot create the directory: ", error.message());
}

void ArrayDirectory::add(const std::string& name, const std::string& formula, DType dtype,
                         const Shape& shape, std::span<const std::byte> bytes) {
  const std::string file = name + ".npy";
  write_npy(path_ / file, dtype, shape, bytes);
  std::vector<Index> dimensions;
  for (int i = 0; i < shape.rank(); ++i) dimensions.push_back(shape[i]);
  index_.push_back({{"name", name},
                    {"file", file},
                    {"shape", dimensions},
                    {"dtype", numpy_name(dtype)},
                    {"formula", formula}});
  bytes_ += bytes.size();
}

void ArrayDirectory::finish(nlohmann::ordered_json about) {
  about["arrays"] = index_;
  write_file_atomically(path_ / "index.json", about.dump(1) + "\n");
}

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
