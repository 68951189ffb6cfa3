#include "apps/trace/formulas.h"

#include <array>
#include <optional>
#include <string_view>

#include "core/check.h"

namespace tern {
namespace {

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
    Line{"middle", "input + attn.o_proj.output"},
    Line{"model.output", "middle + mlp.down_proj.output of the last layer"},
    Line{"attn.forget_gate",
         "f = sigmoid(attn.f_proj.output); with a bound, bound + (1 - bound) * f"},
    Line{"attn.candidate", "c = silu(attn.i_proj.output), silu(x) = x * sigmoid(x)"},
    Line{"attn.state",
         "h[t] = f[t] * h[t-1] + (1 - f[t]) * c[t], h[-1] = 0, element by element; f "
         "forget_gate, c candidate"},
};

// what a projection normalises a second time, with its own weight
constexpr std::array kProjections = {
    Line{"attn.i_proj", "rms_norm(input, attn_norm.weight)"},
    Line{"attn.f_proj", "rms_norm(input, attn_norm.weight)"},
    Line{"attn.g_proj", "rms_norm(input, attn_norm.weight)"},
    Line{"attn.o_proj", "rms_norm(attn.g_proj.output, attn.g_norm.weight) * silu(attn.state)"},
    Line{"mlp.gate_proj", "rms_norm(middle, mlp_norm.weight)"},
    Line{"mlp.down_proj", "silu(a) * b, a and b the left and right half of mlp.gate_proj.output"},
    Line{"lm_head", "rms_norm(model.output, model.norm.weight)"},
};

template <std::size_t N>
std::optional<std::string> find(const std::array<Line, N>& lines, std::string_view name) {
  for (const Line& line : lines)
    if (line.name == name) return std::string(line.formula);
  return {};
}

std::optional<std::string> formula_in(const std::string& projection, std::string_view part) {
  const auto source = find(kProjections, projection);
  if (!source) return {};
  const std::string n = "n = rms_norm(" + *source + ", " + projection + ".norm.weight)";
  if (part == "input") return n;
  if (part == "input.q")
    return "clamp(round(n * scale), -128, 127), halves to even; scale = input.scale of the row, " +
           n;
  if (part == "input.scale") return "127 / max(largest |n| of the row, 1e-5); " + n;
  if (part == "weight.q")
    return "clamp(round(W * weight.scale), -1, 1), halves to even; W the trained matrix";
  if (part == "weight.scale") return "1 / max(mean |W|, 1e-5)";
  if (part == "sums") return "sum over k of input.q[n][k] * weight.q[o][k], exact";
  if (part == "output") return "sums / (input.scale * weight.scale); unquantised: input weight^T";
  return {};
}

// "model.layers.12.attn.state" -> "attn.state"
std::string within_layer(const std::string& name) {
  constexpr std::string_view prefix = "model.layers.";
  return name.starts_with(prefix) ? name.substr(name.find('.', prefix.size()) + 1) : name;
}

}  // namespace

std::string formula_of(const std::string& name) {
  const std::string local = within_layer(name);
  if (const auto formula = find(kArrays, local)) return *formula;
  for (const Line& line : kProjections) {
    const std::string projection(line.name);
    if (!local.starts_with(projection + ".")) continue;
    if (const auto formula = formula_in(projection, local.substr(projection.size() + 1)))
      return *formula;
  }
  check(local.ends_with("weight") || local.ends_with("lower_bounds"),
        "[trace] no formula for the array ", name);
  return "parameter";
}

}  // namespace tern
