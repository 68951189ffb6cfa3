// One layer of the model: MLGRU token mixer and GLU channel mixer around a residual stream.
#pragma once

#include "layers/bit_linear.h"
#include "layers/pass.h"

namespace tern {

struct MlgruMixer {
  BitLinear i_proj{}, f_proj{}, g_proj{}, o_proj{};  // (D, D) each
  Parameter g_norm{};                                // (D)

  template <class F>
  void members(F&& f) {
    f("i_proj", i_proj);
    f("f_proj", f_proj);
    f("g_proj", g_proj);
    f("g_norm.weight", g_norm);
    f("o_proj", o_proj);
  }
};

struct Glu {
  BitLinear gate_proj{};  // (2H, D): gate rows, then up rows
  BitLinear down_proj{};  // (D, H)

  template <class F>
  void members(F&& f) {
    f("gate_proj", gate_proj);
    f("down_proj", down_proj);
  }
};

// The residual stream between two layers: its value is x + branch, added by the next op that reads
// it.
struct Residual {
  Var x{};       // (N, D)
  Var branch{};  // (N, D) or empty
};

// What one layer needs beside the residual stream.
struct BlockInput {
  Index batch = 0, steps = 0;  // B, T; N = B * T
  Var bound{};                 // (D) lower bound of the forget gate, or empty
  Tensor state{};              // (B, D) state to start from, replaced by the last one; or empty
  double eps = 1e-6;
  bool quantized = true;
  DType activations = DType::f32;  // of what products write and branches carry
  bool remake = false;             // norms, quantisers and the scan run again in backward
  bool fp8_dx = false;             // products' gradients by x from dy rounded to fp8
};

struct Block {
  Parameter attn_norm{}, mlp_norm{};  // (D)
  MlgruMixer attn{};
  Glu mlp{};

  Block(Index width, Index glu_width);
  Residual operator()(const Pass& pass, Residual in, const BlockInput& with);

  template <class F>
  void members(F&& f) {
    f("attn_norm.weight", attn_norm);
    f("attn", attn);
    f("mlp_norm.weight", mlp_norm);
    f("mlp", mlp);
  }

 private:
  Var mix_tokens(const Pass& pass, std::vector<QuantizedVar> in, const BlockInput& with);
};

}  // namespace tern
