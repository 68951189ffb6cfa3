// Attention and rotary position embedding, beside plain compositions of primitives.
#include <cmath>

#include "autograd/ops.h"
#include "core/backend.h"
#include "tests/support/op_cases.h"

namespace tern {
namespace {

// element (i, j) of a constant matrix
using Element = std::function<double(Index, Index)>;

Var constant(const Var& like, Index rows, Index columns, const Element& element) {
  Values values(std::size_t(rows * columns), 0);
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < columns; ++j) values[i * columns + j] = element(i, j);
  const Tensor t(like.value.backend(), {rows, columns}, like.value.dtype());
  upload_real(t, values);
  return {t};
}

// columns [first, first + count) of x (rows, columns), as a product
Var columns_of(const Var& x, Index first, Index count) {
  return matmul(x, constant(x, count, x.value.shape().last(),
                            [&](Index i, Index j) { return j == first + i ? 1 : 0; }));
}

// x (rows, count) in the place of columns [first, first + count) of zeros (rows, columns)
Var in_columns(const Var& x, Index first, Index columns) {
  return matmul(x, constant(x, columns, x.value.shape().last(),
                            [&](Index i, Index j) { return i == first + j ? 1 : 0; }));
}

// x (T, D), its heads rotated
Var rotated(const Var& x, const RotaryOptions& options) {
  const Index T = x.value.shape()[0], D = x.value.shape()[1], d = D / options.heads, half = d / 2;
  const auto angle = [&](Index t, Index i) {
    return double(options.first + t) * std::pow(options.theta, -2.0 * double(i % half) / double(d));
  };
  const Var cosine = constant(x, T, D, [&](Index t, Index i) { return std::cos(angle(t, i % d)); });
  const Var sine = constant(x, T, D, [&](Index t, Index i) { return std::sin(angle(t, i % d)); });
  const Var partner = matmul(x, constant(x, D, D, [&](Index to, Index from) {
                               if (to / d != from / d) return 0;
                               const Index i = to % d, j = from % d;
                               return i < half ? (j == i + half ? -1 : 0) : (j == i - half ? 1 : 0);
                             }));
  return add(multiply(x, cosine), multiply(partner, sine));
}

// q, k, v of one sequence (T, D) each, as rotary leaves them, side by side
Var rotary_of_parts(Var q, Var k, const Var& v, const RotaryOptions& options, Rounding& rounding) {
  const Index T = q.value.shape()[0], D = q.value.shape()[1], d = D / options.heads;
  for (Var* x : {&q, &k}) {
    *x = rotated(*x, options);
    if (options.ternary)
      *x = reshape(rounding.ternary_rows(reshape(*x, {T * options.heads, d})), {T, D});
  }
  return add(add(in_columns(q, 0, 3 * D), in_columns(k, D, 3 * D)), in_columns(v, 2 * D, 3 * D));
}

// qkv (T, 3D) of one sequence
Var attention_of(const Var& qkv, Index heads) {
  const Index T = qkv.value.shape()[0], D = qkv.value.shape()[1] / 3, d = D / heads;
  const Var mask = constant(qkv, T, T, [](Index t, Index s) { return s <= t ? 0 : -1e30; });
  Var out{};
  for (Index h = 0; h < heads; ++h) {
    const Var q = columns_of(qkv, h * d, d), k = columns_of(qkv, D + h * d, d);
    const Var p = softmax(add(scale(matmul(q, k), 1 / std::sqrt(double(d))), mask), 1);
    const Var v_transposed = matmul(  // (d, T)
        constant(qkv, d, 3 * D, [&](Index i, Index j) { return j == 2 * D + h * d + i ? 1 : 0; }),
        qkv);
    const Var part = in_columns(matmul(p, v_transposed), h * d, D);
    out = out.value ? add(out, part) : part;
  }
  return out;
}

// f of each sequence of x (B, T, columns)
Var by_sequence(const Var& x, const std::function<Var(const Var&, Index b)>& f) {
  const Shape shape = x.value.shape();
  Vars parts;
  for (Index b = 0; b < shape[0]; ++b) {
    const Var y = f(reshape(slice(x, b, 1), {shape[1], shape[2]}), b);
    parts.push_back(reshape(y, {1, y.value.shape()[0], y.value.shape()[1]}));
  }
  return concatenate(parts);
}

std::string size_name(const std::string& op, Index B, Index T, Index D, Index heads) {
  return op + "_" + std::to_string(B) + "_" + std::to_string(T) + "_" + std::to_string(D) +
         "_heads" + std::to_string(heads);
}

}  // namespace

OpCase rotary_case(Index B, Index T, Index D, const RotaryOptions& options, bool together) {
  OpCase op{.name = size_name("rotary", B, T, D, options.heads) + (together ? "" : "_parts") +
                    (options.first ? "_later" : "") + (options.ternary ? "_ternary" : ""),
            .inputs = {},
            .rounds = options.ternary};
  if (together)
    op.inputs = {{.name = "qkv", .shape = {B, T, 3 * D}}};
  else
    for (const char* name : {"q", "k", "v"})
      op.inputs.push_back({.name = name, .shape = {B, T, D}});
  op.apply = [=](auto in) {
    return Vars{together ? rotary(in[0], options) : rotary(in[0], in[1], in[2], options)};
  };
  op.composed = [=](auto in, Rounding& rounding) {
    return Vars{by_sequence(in[0], [&](const Var& x, Index b) {
      const auto part = [&](int i) {
        if (together) return columns_of(x, i * D, D);
        return reshape(slice(in[std::size_t(i)], b, 1), {T, D});
      };
      return rotary_of_parts(part(0), part(1), part(2), options, rounding);
    })};
  };
  return op;
}

OpCase rotary_in_place_case(Index B, Index T, Index D, const RotaryOptions& options) {
  OpCase op = rotary_case(B, T, D, options, true);
  op.name += "_in_place";
  op.apply = [options](auto in) { return Vars{rotary(scale(in[0], 2), options)}; };
  op.composed = [composed = op.composed](auto in, Rounding& rounding) {
    const Var twice = scale(in[0], 2);
    return composed(std::span(&twice, 1), rounding);
  };
  return op;
}

OpCase attention_case(Index B, Index T, Index D, Index heads) {
  return {.name = size_name("attention", B, T, D, heads),
          .inputs = {{.name = "qkv", .shape = {B, T, 3 * D}, .low = -2, .high = 2}},
          .apply = [heads](auto in) { return Vars{attention(in[0], heads)}; },
          .composed =
              [heads](auto in, Rounding&) {
                return Vars{by_sequence(
                    in[0], [&](const Var& x, Index) { return attention_of(x, heads); })};
              }};
}

namespace {

// q and k rounded to ternary in front of attention: the gradient passes both.
OpCase ternary_attention_case(Index B, Index T, Index D, Index heads) {
  const RotaryOptions options{.heads = heads, .ternary = true};
  const OpCase rounded = rotary_case(B, T, D, options, true),
               attended = attention_case(B, T, D, heads);
  return {.name = size_name("ternary_attention", B, T, D, heads),
          .inputs = {{.name = "qkv", .shape = {B, T, 3 * D}, .low = -2, .high = 2}},
          .apply = [=](auto in) { return Vars{attention(rotary(in[0], options), heads)}; },
          .composed =
              [=](auto in, Rounding& rounding) {
                return attended.composed(rounded.composed(in, rounding), rounding);
              },
          .rounds = true};
}

}  // namespace

std::vector<OpCase> attention_cases() {
  return {
      rotary_case(2, 3, 8, {.heads = 2}, true),
      rotary_case(2, 3, 8, {.heads = 2}, false),
      rotary_case(1, 1, 2, {.first = 5, .theta = 100}, true),
      rotary_case(1, 7, 10, {.first = 3, .theta = 50}, true),
      rotary_case(2, 5, 12, {.heads = 3, .ternary = true}, true),
      rotary_case(1, 5, 6, {.ternary = true}, false),
      rotary_in_place_case(2, 3, 8, {.heads = 2}),
      rotary_in_place_case(1, 5, 12, {.heads = 3, .first = 4, .ternary = true}),
      attention_case(1, 1, 2, 1),
      attention_case(2, 5, 6, 2),
      attention_case(1, 9, 3, 3),
      attention_case(1, 70, 5, 1),  // more queries than one block
      attention_case(3, 4, 16, 1),
      ternary_attention_case(2, 6, 8, 2),
  };
}

}  // namespace tern
