#include "autograd/ops.h"

namespace tern {
namespace {

Var unary(const char* op, UnaryFunction function, const Var& x) {
  Backend& on = x.value.backend();
  const Tensor y(on, x.value.shape(), x.value.dtype());
  on.run(Unary{.y = y, .x = x.value, .function = function});
  return record(op, y, {x}, [&on, function, x = x.value, y](const Tensor& dy, Tape::Grads d) {
    on.run(UnaryBackward{.dx = d[0], .dy = dy, .x = x, .y = y, .function = function});
  });
}

bool repeats(const Shape& b, const Shape& a) {
  if (b.elements() == 1) return true;
  const int lead = a.rank() - b.rank();
  bool fits = lead >= 0;
  for (int i = 0; fits && i < b.rank(); ++i) fits = b[i] == a[lead + i];
  return fits;
}

Var binary(const char* op, BinaryFunction function, const Var& a, const Var& b) {
  check(b.value.elements() > 0 && repeats(b.value.shape(), a.value.shape()) &&
            a.value.dtype() == b.value.dtype(),
        "[", op, "] expected b to be the trailing dimensions of a, a is ", a.value, ", b is ",
        b.value);
  Backend& on = a.value.backend();
  const Tensor y(on, a.value.shape(), a.value.dtype());
  on.run(Binary{.y = y, .a = a.value, .b = b.value, .function = function});
  const bool keep = function == BinaryFunction::multiply;
  return record(op, y, {a, b},
                [&on, function, a = keep ? a.value : Tensor{}, b = keep ? b.value : Tensor{}](
                    const Tensor& dy, Tape::Grads d) {
                  on.run(BinaryBackward{
                      .da = d[0], .db = d[1], .dy = dy, .a = a, .b = b, .function = function});
                });
}

int position(const char* op, const Tensor& x, int axis) {
  const int rank = x.shape().rank(), at = axis < 0 ? axis + rank : axis;
  check(at >= 0 && at < rank && x.elements() > 0, "[", op, "] expected an axis of x, got axis ",
        axis, ", x is ", x);
  return at;
}

Axis fold(const Shape& s, int at) {
  return {.outer = s.product(0, at), .length = s[at], .inner = s.product(at + 1, s.rank())};
}

Shape with_first(const Shape& s, Index first) {
  Shape out{first};
  for (int i = 1; i < s.rank(); ++i) out.push_back(s[i]);
  return out;
}

Shape with_last(Shape s, Index last) {
  Shape out;
  for (int i = 0; i + 1 < s.rank(); ++i) out.push_back(s[i]);
  out.push_back(last);
  return out;
}

}  // namespace

Var exp(const Var& x) {
  return unary("exp", UnaryFunction::exp, x);
}
Var sigmoid(const Var& x) {
  return unary("sigmoid", UnaryFunction::sigmoid, x);
}
Var silu(const Var& x) {
  return unary("silu", UnaryFunction::silu, x);
}
Var reciprocal(const Var& x) {
  return unary("reciprocal", UnaryFunction::reciprocal, x);
}
Var add(const Var& a, const Var& b) {
  return binary("add", BinaryFunction::add, a, b);
}
Var subtract(const Var& a, const Var& b) {
  return binary("subtract", BinaryFunction::subtract, a, b);
}
Var multiply(const Var& a, const Var& b) {
  return binary("multiply", BinaryFunction::multiply, a, b);
}

Var scale(const Var& x, double factor) {
  Backend& on = x.value.backend();
  const Tensor y(on, x.value.shape(), x.value.dtype());
  on.run(Accumulate{.to = {y}, .x = x.value, .factor = factor});
  return record("scale", y, {x}, [&on, factor](const Tensor& dy, Tape::Grads d) {
    on.run(Accumulate{.to = d[0], .x = dy, .factor = factor});
  });
}

Var sum(const Var& x, int axis) {
  const int at = position("sum", x.value, axis);
  const Axis along = fold(x.value.shape(), at);
  Shape shape;
  for (int i = 0; i < x.value.shape().rank(); ++i)
    if (i != at) shape.push_back(x.value.shape()[i]);
  if (shape.rank() == 0) shape.push_back(1);
  Backend& on = x.value.backend();
  const Tensor y(on, shape, x.value.dtype());
  on.run(Sum{.y = y, .x = x.value, .axis = along});
  return record("sum", y, {x}, [&on, along](const Tensor& dy, Tape::Grads d) {
    on.run(SumBackward{.dx = d[0], .dy = dy, .axis = along});
  });
}

Var softmax(const Var& x, int axis) {
  const Axis along = fold(x.value.shape(), position("softmax", x.value, axis));
  Backend& on = x.value.backend();
  const Tensor y(on, x.value.shape(), x.value.dtype());
  on.run(Softmax{.y = y, .x = x.value, .axis = along});
  return record("softmax", y, {x}, [&on, along, y](const Tensor& dy, Tape::Grads d) {
    on.run(SoftmaxBackward{.dx = d[0], .dy = dy, .y = y, .axis = along});
  });
}

Var cumsum(const Var& x, int axis) {
  const Axis along = fold(x.value.shape(), position("cumsum", x.value, axis));
  Backend& on = x.value.backend();
  const Tensor y(on, x.value.shape(), x.value.dtype());
  on.run(Cumsum{.y = {y}, .x = x.value, .axis = along});
  return record("cumsum", y, {x}, [&on, along](const Tensor& dy, Tape::Grads d) {
    on.run(Cumsum{.y = d[0], .x = dy, .axis = along, .reverse = true});
  });
}

Var matmul(const Var& x, const Var& w) {
  const auto [O, I] = dims<2>(w.value, "[matmul] w (O, I)");
  const DType of_x = x.value.dtype(), of_w = w.value.dtype();
  const bool narrow = of_x == DType::f32 && of_w == DType::bf16 && x.slot < 0 && w.slot < 0;
  check(x.value.shape().last() == I && x.value.elements() > 0 &&
            (of_x == of_w || accumulator(of_x) == of_w || narrow),
        "[matmul] inner dimensions differ: x is ", x.value, ", w is ", w.value);
  Backend& on = x.value.backend();
  const Index N = x.value.elements() / I;
  const Tensor y(on, with_last(x.value.shape(), O), x.value.dtype());
  on.run(Matmul{.y = y.reshape({N, O}), .x = x.value.reshape({N, I}), .w = w.value});
  return record(
      "matmul", y, {x, w},
      [&on, N, O, I, x = in_backward(x), w = w.value](const Tensor& dy, Tape::Grads d) {
        const Shape rows{N, I};
        Grad dx = d[0];
        if (dx) dx.to = dx.to.reshape(rows);
        on.run(MatmulBackward{
            .dx = dx, .dw = d.stored(1), .dy = dy.reshape({N, O}), .x = x().reshape(rows), .w = w});
      });
}

Var rms_norm(const Var& x, const Var& w, double eps) {
  const auto [D] = dims<1>(w.value, "[rms_norm] w (D)");
  check(x.value.shape().last() == D &&
            (x.value.dtype() == w.value.dtype() || accumulator(x.value.dtype()) == w.value.dtype()),
        "[rms_norm] expected rows of ", D, ", x is ", x.value, ", w is ", w.value);
  Backend& on = x.value.backend();
  const Tensor y(on, x.value.shape(), x.value.dtype());
  const Tensor rstd(on, {x.value.elements() / D}, accumulator(x.value.dtype()));
  on.run(RmsNorm{.y = y, .rstd = rstd, .x = x.value, .w = w.value, .eps = eps});
  return record("rms_norm", y, {x, w},
                [&on, x = x.value, w = w.value, rstd](const Tensor& dy, Tape::Grads d) {
                  on.run(RmsNormBackward{
                      .dx = d[0], .dw = d.stored(1), .dy = dy, .x = x, .w = w, .rstd = rstd});
                });
}

Var embedding(const Var& table, const Tensor& ids, std::optional<DType> rows,
              const Tensor& row_scale) {
  const auto [V, D] = dims<2>(table.value, "[embedding] table (V, D)");
  check(ids && ids.dtype() == DType::i32 && V > 0, "[embedding] expected i32 ids, got ", ids);
  const DType real = rows.value_or(table.value.dtype());
  const bool codes = table.value.dtype() == DType::i8;
  check(codes ? table.slot < 0 && row_scale && row_scale.shape() == Shape{V}
              : is_real(table.value.dtype()) && !row_scale,
        "[embedding] expected real numbers, or int8 codes off the tape and scales (", V,
        "), table is ", table.value, ", scales are ", row_scale);
  check(is_real(real), "[embedding] rows: expected a real type, got ", real);
  Backend& on = table.value.backend();
  Shape shape = ids.shape();
  shape.push_back(D);
  const Tensor y(on, shape, real);
  on.run(Embedding{.y = y, .table = table.value, .row_scale = row_scale, .ids = ids});
  return record("embedding", y, {table}, [&on, ids](const Tensor& dy, Tape::Grads d) {
    on.run(EmbeddingBackward{.dtable = d.stored(0), .dy = dy, .ids = ids});
  });
}

Var swiglu(const Var& ab, bool recompute) {
  const auto [N, columns] = dims<2>(ab.value, "[swiglu] ab (N, 2H)");
  check(columns % 2 == 0, "[swiglu] expected an even width, ab is ", ab.value);
  Backend& on = ab.value.backend();
  const auto make = [&on, shape = Shape{N, columns / 2}, ab = ab.value] {
    const Tensor y(on, shape, ab.dtype());
    on.run(Swiglu{.y = y, .ab = ab});
    return y;
  };
  Var y = record("swiglu", make(), {ab}, [&on, ab = ab.value](const Tensor& dy, Tape::Grads d) {
    on.run(SwigluBackward{.dab = d[0], .dy = dy, .ab = ab});
  });
  if (recompute) y.recompute = once(make);
  return y;
}

Var slice(const Var& x, Index first, Index count) {
  const Tensor part = x.value.slice(first, count);
  if (x.slot < 0) return {part};
  return x.tape->view(x, part, first * x.value.shape().product(1, x.value.shape().rank()));
}

Var reshape(const Var& x, Shape shape) {
  const Tensor same = x.value.reshape(shape);
  Var y = x.slot < 0 ? Var{same} : x.tape->view(x, same, 0);
  if (x.recompute) y.recompute = [make = x.recompute, shape] { return make().reshape(shape); };
  return y;
}

Var concatenate(const std::vector<Var>& parts) {
  check(!parts.empty(), "[concatenate] expected at least one part");
  const Tensor& model = parts[0].value;
  Index rows = 0;
  for (const Var& p : parts) {
    check(p.value && p.value.shape() == with_first(model.shape(), p.value.shape()[0]) &&
              p.value.dtype() == model.dtype(),
          "[concatenate] expected rows like those of ", model, ", got ", p.value);
    rows += p.value.shape()[0];
  }
  const Shape shape = with_first(model.shape(), rows);
  Backend& on = model.backend();
  const Tensor y(on, shape, model.dtype());
  std::vector<Index> counts;
  Index at = 0;
  for (const Var& p : parts) {
    counts.push_back(p.value.shape()[0]);
    on.copy(y.slice(at, counts.back()), p.value);
    at += counts.back();
  }
  return record("concatenate", y, parts, [&on, counts](const Tensor& dy, Tape::Grads d) {
    Index row = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      if (d[i]) on.run(Accumulate{.to = d[i], .x = dy.slice(row, counts[i])});
      row += counts[i];
    }
  });
}

}  // namespace tern
