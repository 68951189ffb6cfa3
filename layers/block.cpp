#include "layers/block.h"

#include "autograd/ops/mlgru.h"
#include "autograd/ops/primitives.h"

namespace tern {
namespace {

// A value that is read once is moved into its reader, so that its memory is free as early as
// possible.
Var project(const Pass& pass, const char* name, BitLinear& layer, QuantizedVar x, bool fp8_dx) {
  const std::string prefix = name;
  pass.see(prefix + ".input", x);
  const QuantizedVar w = layer.weight_var(pass.tape);
  pass.see(prefix + ".weight", w);
  const Var y = ternary_product(x, w, fp8_dx);
  pass.see((prefix + ".output").c_str(), y.value);
  return y;
}

}  // namespace

Block::Block(Index width, Index glu_width) {
  for (BitLinear* p : {&attn.i_proj, &attn.f_proj, &attn.g_proj, &attn.o_proj})
    *p = BitLinear(width, width);
  mlp.gate_proj = BitLinear(2 * glu_width, width);
  mlp.down_proj = BitLinear(width, glu_width);
  for (Parameter* p : {&attn_norm, &mlp_norm, &attn.g_norm}) p->shape = {width};
}

Var Block::mix_tokens(const Pass& pass, std::vector<QuantizedVar> in, const BlockInput& with) {
  const Index N = with.batch * with.steps, D = attn_norm.shape[0];
  const Shape rows{N, D}, steps{with.batch, with.steps, D};
  const Var i = project(pass, "attn.i_proj", attn.i_proj, std::move(in[0]), with.fp8_dx);  // (N, D)
  const Var f = project(pass, "attn.f_proj", attn.f_proj, std::move(in[1]), with.fp8_dx);  // (N, D)
  const Var g = project(pass, "attn.g_proj", attn.g_proj, std::move(in[2]), with.fp8_dx);  // (N, D)
  MlgruOutput out = mlgru(reshape(f, steps), reshape(i, steps), with.bound, {with.state},
                          bool(with.state), with.remake);
  if (with.state) with.state.backend().copy(with.state, out.last);
  pass.see("attn.state", out.h.value);
  QuantizedVar gated = gated_norm_quantize(g, reshape(out.h, rows), leaf(pass.tape, attn.g_norm),
                                           leaf(pass.tape, attn.o_proj.norm_weight), with.eps,
                                           with.quantized, with.remake);
  out = {};
  return project(pass, "attn.o_proj", attn.o_proj, std::move(gated), with.fp8_dx);
}

Residual Block::operator()(const Pass& pass, Residual in, const BlockInput& with) {
  Tape* tape = pass.tape;
  NormQuantized mixer_in =
      norm_quantize(in.x, in.branch, leaf(tape, attn_norm),
                    {leaf(tape, attn.i_proj.norm_weight), leaf(tape, attn.f_proj.norm_weight),
                     leaf(tape, attn.g_proj.norm_weight)},
                    with.eps, with.quantized, with.activations, with.remake);
  in = {};
  pass.see("input", mixer_in.sum.value);
  Var mixed = mix_tokens(pass, std::move(mixer_in.rows), with);
  NormQuantized glu_in = norm_quantize(mixer_in.sum, mixed, leaf(tape, mlp_norm),
                                       {leaf(tape, mlp.gate_proj.norm_weight)}, with.eps,
                                       with.quantized, with.activations, with.remake);
  mixed = {};
  pass.see("middle", glu_in.sum.value);
  const Var ab = project(pass, "mlp.gate_proj", mlp.gate_proj, std::move(glu_in.rows[0]),
                         with.fp8_dx);  // (N, 2H)
  QuantizedVar hidden = swiglu_norm_quantize(ab, leaf(tape, mlp.down_proj.norm_weight), with.eps,
                                             with.quantized, with.remake);  // (N, H)
  return {.x = glu_in.sum,
          .branch = project(pass, "mlp.down_proj", mlp.down_proj, std::move(hidden), with.fp8_dx)};
}

}  // namespace tern
