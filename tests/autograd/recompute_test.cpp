// Values that backward makes again instead of keeping: the same bits, made once, out of less
// memory.
#include <gtest/gtest.h>

#include "autograd/ops.h"
#include "core/cpu/cpu_backend.h"
#include "core/dry/dry_backend.h"
#include "tests/support/op_case.h"

namespace tern {
namespace {

constexpr Index kB = 2, kT = 9, kN = kB * kT, kD = 21, kH = 10;

// A token mixer and a channel mixer without residual stream: every op that can recompute its rows.
Vars mixers(std::span<const Var> in, bool quantized, bool recompute) {
  const RowsAgain again = recompute ? RowsAgain::quotients : RowsAgain::no;
  const Var &x = in[0], &branch = in[1], &norm = in[2], &wide = in[3], &narrow = in[4];
  const auto times = [&](const QuantizedVar& rows, const Var& w) {
    return ternary_product(rows, quantized ? quantize_ternary(w) : QuantizedVar{.codes = w});
  };
  const NormQuantized y =
      norm_quantize(x, branch, norm, {norm, in[5], in[6]}, 1e-6, quantized, {}, again);
  const auto mixed = [&](int k) { return reshape(times(y.rows[k], wide), {kB, kT, kD}); };
  const Var h = mlgru(mixed(0), mixed(1), {}, {}, false, recompute).h;
  const QuantizedVar gated = gated_norm_quantize(times(y.rows[2], wide), reshape(h, {kN, kD}), norm,
                                                 norm, 1e-6, quantized, again);
  // no branch: the sum is the input itself
  const Var ab =
      times(norm_quantize(times(gated, wide), {}, {}, {norm}, 1e-6, quantized, {}, again).rows[0],
            slice(wide, 0, 2 * kH));
  return {y.sum,
          times(swiglu_norm_quantize(ab, slice(norm, 0, kH), 1e-6, quantized, again), narrow)};
}

OpCase mixers_case(bool quantized, bool recompute) {
  return {.name = "mixers",
          .inputs = {{.name = "x", .shape = {kN, kD}},
                     {.name = "branch", .shape = {kN, kD}},
                     {.name = "norm", .shape = {kD}, .low = 0.5},
                     {.name = "wide", .shape = {kD, kD}},
                     {.name = "narrow", .shape = {kD, kH}},
                     {.name = "second", .shape = {kD}, .low = 0.5},
                     {.name = "third", .shape = {kD}, .low = 0.5}},
          .apply = [=](std::span<const Var> in) { return mixers(in, quantized, recompute); }};
}

TEST(Remake, ChangesNoBit) {
  CpuBackend cpu(std::size_t(8) << 20);
  for (const DType dtype : {DType::f32, DType::f64})
    for (const bool quantized : {true, false}) {
      const OpCase keeps = mixers_case(quantized, false), again = mixers_case(quantized, true);
      const OpRun kept = run_case(cpu, dtype, keeps, sample(keeps));
      EXPECT_EQ(run_case(cpu, dtype, again, sample(keeps)), kept) << dtype << ' ' << quantized;
      EXPECT_EQ(run_case(cpu, dtype, recomputed(again), sample(keeps)), kept) << dtype;
      EXPECT_EQ(run_case(cpu, dtype, without_tape(again), sample(keeps)).outputs, kept.outputs);
    }
}

TEST(Remake, DryRunPredictsThePeakToTheByte) {
  const OpCase again = mixers_case(true, true);
  DryBackend dry;
  run_case(dry, DType::f32, again, sample(again), 2);
  CpuBackend cpu(dry.pool().high_water());
  run_case(cpu, DType::f32, again, sample(again), 2);
  EXPECT_EQ(cpu.pool().high_water(), dry.pool().high_water());
  EXPECT_EQ(cpu.pool().used(), 0u);
}

// Rows are codes in forward. Made again they are quotients where products want those, beside bf16,
// or codes again, where products in 8-bit floats do.
TEST(Remake, GivesQuotientsOrCodes) {
  DryBackend dry;
  for (const DType real : {DType::f32, DType::bf16})
    for (const bool quantized : {true, false})
      for (const RowsAgain again : {RowsAgain::quotients, RowsAgain::codes}) {
        const Var x{Tensor(dry, {kN, kD}, real)}, wide{Tensor(dry, {kN, 2 * kH}, real)};
        const Var weight{Tensor(dry, {kD}, DType::f32)}, narrow{Tensor(dry, {kH}, DType::f32)};
        const bool codes = quantized && (real == DType::f32 || again == RowsAgain::codes);
        for (const QuantizedVar& y :
             {norm_quantize(x, {}, {}, {weight}, 1e-6, quantized, {}, again).rows[0],
              gated_norm_quantize(x, x, weight, weight, 1e-6, quantized, again),
              swiglu_norm_quantize(wide, narrow, 1e-6, quantized, again)}) {
          EXPECT_EQ(y.codes.value.dtype(), quantized ? DType::i8 : real);
          EXPECT_EQ(y.codes.recompute().dtype(), codes ? DType::i8 : real);
        }
      }
}

// What the tape holds after forward: less by six sets of rows and h, nothing left after backward.
TEST(Remake, RowsAndStatesAreLetGo) {
  const auto piece = [](Index bytes) { return std::size_t((bytes + 255) / 256 * 256); };
  const auto held = [&](bool recompute) {
    DryBackend dry;
    const OpCase op = mixers_case(true, recompute);
    std::vector<Parameter> parameters(op.inputs.size());
    Tape tape;
    Vars leaves;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      parameters[i].value = Tensor(dry, op.inputs[i].shape, DType::f32);
      parameters[i].grad.tensor = Tensor(dry, op.inputs[i].shape, DType::f32);
      leaves.push_back(tape.leaf(parameters[i]));
    }
    const std::size_t before = dry.pool().used();
    const Vars out = op.apply(leaves);
    const std::size_t after = dry.pool().used();
    const int launches = dry.launches();
    tape.backward(out);
    EXPECT_EQ(dry.pool().used() - before, 2 * piece(4 * kN * kD)) << "only the outputs";
    return std::pair{after - before, dry.launches() - launches};
  };
  const auto [kept, backward] = held(false);
  const auto [less, again] = held(true);
  EXPECT_EQ(kept - less, 5 * piece(kN * kD) + piece(kN * kH) + piece(4 * kN * kD));
  EXPECT_EQ(again - backward, 5);  // two norms, scan, gate, SwiGLU: each once, whoever asks
}

}  // namespace
}  // namespace tern
