// The quantisers, alone and fused with the norms before them.
#include "autograd/ops.h"
#include "tests/support/op_cases.h"

namespace tern {
namespace {

constexpr double kEps = 1e-6;

std::string size_name(const std::string& op, Index N, Index D, bool quantized) {
  return op + "_" + std::to_string(N) + "_by_" + std::to_string(D) + (quantized ? "" : "_real");
}

// what the gradient tests look at: the dequantised value, or the real one
Var value_of(const QuantizedVar& y) {
  return y.scale ? dequantize(y) : y.codes;
}

Var maybe_rounded(Rounding& rounding, const Var& x, bool quantized) {
  return quantized ? rounding.rows(x) : x;
}

// A form's optional inputs in the order of its case.
struct NormQuantizeInputs {
  NormQuantizeInputs(std::span<const Var> in, const NormQuantizeForm& form) : x(in[0]) {
    std::size_t at = 1;
    if (form.branch) branch = in[at++];
    if (form.block) block = in[at++];
    weights.assign(in.begin() + std::ptrdiff_t(at), in.end());
  }
  Var x{}, branch{}, block{};
  Vars weights{};
};

}  // namespace

OpCase norm_quantize_case(Index N, Index D, const NormQuantizeForm& form) {
  OpCase op{.name = size_name("norm_quantize", N, D, form.quantized) +
                    (form.branch ? "_branch" : "") + (form.block ? "_block" : "") + "_rows" +
                    std::to_string(form.rows) + (form.use_sum ? "_sum" : "") +
                    (form.exact_stream ? "_exact" : ""),
            .inputs = {{.name = "x", .shape = {N, D}, .parameter = form.exact_stream}},
            .rounds = form.quantized};
  for (const int k : form.use_rows) op.name.append("_").append(std::to_string(k));
  if (form.branch) op.inputs.push_back({.name = "branch", .shape = {N, D}});
  const OpInput weight{.name = "weight", .shape = {D}, .low = 0.5, .high = 1.5, .parameter = true};
  for (int k = form.block ? -1 : 0; k < form.rows; ++k) {
    op.inputs.push_back(weight);
    op.inputs.back().name = k < 0 ? "block_weight" : "weight" + std::to_string(k);
  }
  op.apply = [form](auto in) {
    const NormQuantizeInputs v(in, form);
    const NormQuantized y = norm_quantize(v.x, v.branch, v.block, v.weights, kEps, form.quantized,
                                          form.branch ? v.branch.value.dtype() : v.x.value.dtype());
    Vars used;
    if (form.use_sum) used.push_back(y.sum);
    for (const int k : form.use_rows) used.push_back(value_of(y.rows[k]));
    return used;
  };
  op.composed = [form](auto in, Rounding& rounding) {
    const NormQuantizeInputs v(in, form);
    const Var total = form.branch ? add(v.x, v.branch) : v.x;
    const Var u = form.block ? rms_norm(total, v.block, kEps) : total;
    Vars used;
    if (form.use_sum) used.push_back(total);
    for (const int k : form.use_rows)
      used.push_back(maybe_rounded(rounding, rms_norm(u, v.weights[k], kEps), form.quantized));
    return used;
  };
  return op;
}

OpCase gated_norm_quantize_case(Index N, Index D, bool quantized) {
  return {
      .name = size_name("gated_norm_quantize", N, D, quantized),
      .inputs = {{.name = "g", .shape = {N, D}},
                 {.name = "h", .shape = {N, D}, .low = -3, .high = 3},
                 {.name = "g_weight", .shape = {D}, .low = 0.5, .high = 1.5, .parameter = true},
                 {.name = "weight", .shape = {D}, .low = 0.5, .high = 1.5, .parameter = true}},
      .apply =
          [quantized](auto in) {
            return Vars{value_of(gated_norm_quantize(in[0], in[1], in[2], in[3], kEps, quantized))};
          },
      .composed =
          [quantized](auto in, Rounding& rounding) {
            const Var p = multiply(rms_norm(in[0], in[2], kEps), silu(in[1]));
            return Vars{maybe_rounded(rounding, rms_norm(p, in[3], kEps), quantized)};
          },
      .rounds = quantized};
}

namespace {

// a and b (N, H) of ab (N, 2H)
std::pair<Var, Var> halves_of(const Var& ab) {
  const Index N = ab.value.shape()[0], H = ab.value.shape()[1] / 2;
  const Var halves = reshape(ab, {2 * N, H});  // a and b of row 0, of row 1, ...
  Vars a, b;
  for (Index n = 0; n < N; ++n) {
    a.push_back(slice(halves, 2 * n, 1));
    b.push_back(slice(halves, 2 * n + 1, 1));
  }
  return {concatenate(a), concatenate(b)};
}

}  // namespace

OpCase swiglu_norm_quantize_case(Index N, Index H, bool quantized, bool together) {
  OpCase op{.name = size_name("swiglu_norm_quantize", N, H, quantized) + (together ? "" : "_parts"),
            .inputs = {},
            .rounds = quantized};
  if (together)
    op.inputs = {{.name = "ab", .shape = {N, 2 * H}, .low = -3, .high = 3}};
  else
    for (const char* name : {"a", "b"})
      op.inputs.push_back({.name = name, .shape = {N, H}, .low = -3, .high = 3});
  op.inputs.push_back({.name = "weight", .shape = {H}, .low = 0.5, .high = 1.5, .parameter = true});
  op.apply = [=](auto in) {
    return Vars{value_of(together ? swiglu_norm_quantize(in[0], in[1], kEps, quantized)
                                  : swiglu_norm_quantize(in[0], in[1], in[2], kEps, quantized))};
  };
  op.composed = [=](auto in, Rounding& rounding) {
    const auto [a, b] = together ? halves_of(in[0]) : std::pair(in[0], in[1]);
    const Var p = multiply(silu(a), b);
    return Vars{maybe_rounded(rounding, rms_norm(p, in.back(), kEps), quantized)};
  };
  return op;
}

OpCase swiglu_case(Index N, Index H) {
  return {.name = size_name("swiglu", N, H, true),
          .inputs = {{.name = "ab", .shape = {N, 2 * H}, .low = -3, .high = 3}},
          .apply = [](auto in) { return Vars{swiglu(in[0])}; },
          .composed =
              [](auto in, Rounding&) {
                const auto [a, b] = halves_of(in[0]);
                return Vars{multiply(silu(a), b)};
              }};
}

OpCase rms_norm_case(Index N, Index D) {
  return {.name = size_name("rms_norm", N, D, true),
          .inputs = {{.name = "x", .shape = {N, D}, .low = 0.25},
                     {.name = "w", .shape = {D}, .low = 0.5, .high = 1.5, .parameter = true}},
          .apply = [](auto in) { return Vars{rms_norm(in[0], in[1], kEps)}; }};
}

std::vector<OpCase> quantizer_cases() {
  const auto form = [](bool branch, bool block, int rows, bool use_sum, std::vector<int> used,
                       bool quantized = true) {
    return NormQuantizeForm{.branch = branch,
                            .block = block,
                            .quantized = quantized,
                            .rows = rows,
                            .use_sum = use_sum,
                            .use_rows = std::move(used)};
  };
  return {
      rms_norm_case(4, 5),
      rms_norm_case(1, 67),
      rms_norm_case(5, 1),
      rms_norm_case(67, 37),
      {.name = "rms_norm_of_a_vector",
       .inputs = {{.name = "x", .shape = {6}}, {.name = "w", .shape = {6}, .parameter = true}},
       .apply = [](auto in) { return Vars{rms_norm(in[0], in[1])}; }},
      {.name = "rms_norm_of_a_batch",
       .inputs = {{.name = "x", .shape = {2, 3, 4}},
                  {.name = "w", .shape = {4}, .parameter = true}},
       .apply = [](auto in) { return Vars{rms_norm(in[0], in[1], 1e-3)}; }},
      {.name = "quantize_rows",
       .inputs = {{.name = "x", .shape = {5, 19}}},
       .apply = [](auto in) { return Vars{dequantize(quantize_rows(in[0]))}; },
       .composed = [](auto in, Rounding& r) { return Vars{r.rows(in[0])}; },
       .rounds = true},
      norm_quantize_case(3, 8, form(true, true, 3, true, {0, 1, 2})),
      norm_quantize_case(67, 37, form(true, true, 3, true, {0, 1, 2})),
      norm_quantize_case(5, 7, form(true, true, 1, true, {0})),
      norm_quantize_case(5, 7, form(true, true, 1, false, {0})),
      norm_quantize_case(5, 7, form(false, true, 2, true, {0, 1})),
      norm_quantize_case(5, 7, form(true, false, 1, true, {0})),
      norm_quantize_case(1, 67, form(false, false, 1, false, {0})),
      norm_quantize_case(5, 7, form(true, true, 3, true, {1})),
      norm_quantize_case(5, 7, form(true, true, 2, true, {})),
      norm_quantize_case(5, 7, form(false, false, 3, false, {2, 0})),
      norm_quantize_case(5, 7, form(true, true, 3, true, {0, 1, 2}, false)),
      norm_quantize_case(5, 7, form(false, false, 1, false, {0}, false)),
      norm_quantize_case(2, 1, form(false, true, 1, true, {0}, false)),
      norm_quantize_case(9, 1024, {.exact_stream = true}),
      norm_quantize_case(5, 36, {.rows = 1, .use_rows = {0}, .exact_stream = true}),
      norm_quantize_case(5, 37, {.quantized = false, .exact_stream = true}),
      gated_norm_quantize_case(3, 8),
      gated_norm_quantize_case(67, 37),
      gated_norm_quantize_case(1, 19),
      gated_norm_quantize_case(5, 7, false),
      swiglu_norm_quantize_case(3, 8),
      swiglu_norm_quantize_case(67, 37),
      swiglu_norm_quantize_case(1, 19),
      swiglu_norm_quantize_case(5, 7, false),
      swiglu_norm_quantize_case(67, 37, true, false),
      swiglu_norm_quantize_case(5, 8, false, false),
      swiglu_case(3, 8),
      swiglu_case(67, 37),
      swiglu_case(1, 1),
  };
}

}  // namespace tern
