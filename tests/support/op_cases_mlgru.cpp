// The recurrence of the token mixer, and checkpoints around it.
#include "autograd/ops.h"
#include "tests/support/op_cases.h"

namespace tern {
namespace {

// one sequence, step by step: f, c (T, D); before (1, D) or empty
Var recur(const Var& f, const Var& c, Var before) {
  const Index T = f.value.shape()[0];
  Vars h;
  for (Index t = 0; t < T; ++t) {
    const Var ft = slice(f, t, 1), ct = slice(c, t, 1);
    Var now = subtract(ct, multiply(ft, ct));
    if (before.value) now = add(multiply(ft, before), now);
    h.push_back(before = now);
  }
  return concatenate(h);
}

const OpInput kF{.name = "f", .shape = {1, 4, 2}}, kC{.name = "c", .shape = {1, 4, 2}};

OpCase mlgru_of_mlgru() {
  return {.name = "mlgru_of_mlgru",
          .inputs = {kF, kC},
          .apply = [](auto in) { return Vars{mlgru(in[0], mlgru(in[0], in[1]).h).h}; },
          .adds_up = true};
}

OpCase two_in_two_out() {
  OpCase op{.name = "checkpoint_two_in_two_out", .inputs = {kF, kC}, .adds_up = true};
  op.apply = [](auto in) {
    const auto body = [](Tape*, std::span<const Var> v) {
      const Var h = mlgru(v[0], v[1]).h;
      return Vars{mlgru(h, v[1]).h, multiply(h, v[0])};
    };
    const Vars out = checkpoint(in[0].tape, body, {in[0], in[1]});
    return Vars{add(out[0], in[0]), silu(out[1])};
  };
  return op;
}

OpCase unused_output() {
  OpCase op{.name = "checkpoint_unused_output", .inputs = {kF, kC}};
  op.apply = [](auto in) {
    const auto body = [](Tape*, std::span<const Var> v) { return Vars{silu(v[0]), exp(v[1])}; };
    return Vars{checkpoint(in[0].tape, body, {in[0], in[1]})[0]};
  };
  return op;
}

OpCase checkpoint_in_checkpoint() {
  OpCase op{.name = "checkpoint_in_checkpoint", .inputs = {kF, kC}, .adds_up = true};
  op.apply = [](auto in) {
    const auto inner = [](Tape*, std::span<const Var> v) { return Vars{mlgru(v[0], v[1]).h}; };
    const auto outer = [inner](Tape* tape, std::span<const Var> v) {
      return checkpoint(tape, inner, {v[0], multiply(v[0], v[1])});
    };
    return checkpoint(in[0].tape, outer, {in[0], in[1]});
  };
  return op;
}

OpCase returns_its_input() {
  OpCase op{.name = "checkpoint_returns_its_input", .inputs = {kF, kC}, .adds_up = true};
  op.apply = [](auto in) {
    const auto body = [](Tape*, std::span<const Var> v) { return Vars{v[0], mlgru(v[0], v[1]).h}; };
    return checkpoint(in[0].tape, body, {in[0], in[1]});
  };
  return op;
}

}  // namespace

OpCase mlgru_case(Index B, Index T, Index D, bool bound, bool initial) {
  OpCase op{.name = "mlgru_" + std::to_string(B) + "_" + std::to_string(T) + "_" +
                    std::to_string(D) + (bound ? "_bound" : "") + (initial ? "_initial" : ""),
            .inputs = {{.name = "f", .shape = {B, T, D}, .low = -3, .high = 3},
                       {.name = "c", .shape = {B, T, D}, .low = -3, .high = 3}}};
  if (bound)
    op.inputs.push_back(
        {.name = "bound", .shape = {D}, .low = 0.1, .high = 0.9, .parameter = true});
  if (initial) op.inputs.push_back({.name = "initial", .shape = {B, D}, .parameter = true});
  const std::size_t at_initial = bound ? 3 : 2;
  op.apply = [=](auto in) {
    return Vars{mlgru(in[0], in[1], bound ? in[2] : Var{}, initial ? in[at_initial] : Var{}).h};
  };
  op.composed = [=](auto in, Rounding&) {
    Var f = sigmoid(in[0]);
    if (bound) f = add(subtract(f, multiply(f, in[2])), in[2]);  // b + (1 - b) f
    const Shape rows{B * T, D};
    f = reshape(f, rows);
    const Var c = reshape(silu(in[1]), rows);
    Vars h;
    for (Index b = 0; b < B; ++b)
      h.push_back(recur(slice(f, b * T, T), slice(c, b * T, T),
                        initial ? slice(in[at_initial], b, 1) : Var{}));
    return Vars{reshape(concatenate(h), {B, T, D})};
  };
  return op;
}

std::vector<OpCase> mlgru_cases() {
  return {
      mlgru_case(2, 5, 3, false, false),
      mlgru_case(2, 5, 3, true, false),
      mlgru_case(2, 5, 3, false, true),
      mlgru_case(2, 5, 3, true, true),
      mlgru_case(3, 1, 4, true, true),
      mlgru_case(1, 7, 1, true, false),
      mlgru_case(1, 1, 1, false, false),
      mlgru_case(1, 33, 2, true, true),
      mlgru_case(2, 3, 67, true, true),
      mlgru_case(2, 3, 64, true, false),
      mlgru_case(2, 3, 130, false, true),
      mlgru_case(5, 40, 150, true, false),
      mlgru_of_mlgru(),
  };
}

std::vector<OpCase> checkpoint_cases() {
  return {two_in_two_out(), unused_output(), checkpoint_in_checkpoint(), returns_its_input()};
}

}  // namespace tern
