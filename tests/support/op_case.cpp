#include "tests/support/op_case.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>

#include "autograd/ops.h"
#include "core/backend.h"
#include "core/bfloat16.h"
#include "core/rng.h"

namespace tern {
namespace {

Values quantized_rows(const Values& x, Index D) {
  Values y(x.size());
  for (std::size_t row = 0; row < x.size(); row += D) {
    double top = 1e-5;
    for (Index i = 0; i < D; ++i) top = std::max(top, std::abs(x[row + i]));
    for (Index i = 0; i < D; ++i) {
      const double s = 127 / top;
      y[row + i] = std::clamp(std::nearbyint(x[row + i] * s), -128.0, 127.0) / s;
    }
  }
  return y;
}

Values quantized_matrix(const Values& w) {
  double sum = 0;
  for (const double e : w) sum += std::abs(e);
  const double s = 1 / std::max(sum / double(w.size()), 1e-5);
  Values y;
  for (const double e : w) y.push_back(std::clamp(std::nearbyint(e * s), -1.0, 1.0) / s);
  return y;
}

Tensor uploaded(Backend& on, const Shape& shape, DType dtype, const Values& values) {
  const Tensor t(on, shape, dtype);
  upload_real(t, values);
  return t;
}

// the inputs as parameters, with gradients that nothing has been written to
std::deque<Parameter> parameters_of(Backend& on, DType dtype, const OpCase& op,
                                    const std::vector<Values>& point, DType gradients) {
  std::deque<Parameter> parameters;
  for (std::size_t i = 0; i < op.inputs.size(); ++i) {
    const OpInput& in = op.inputs[i];
    const DType own = in.parameter ? accumulator(dtype) : dtype;
    const DType stored = own == DType::f32 ? gradients : own;
    parameters.push_back({.name = in.name,
                          .shape = in.shape,
                          .value = uploaded(on, in.shape, own, point[i]),
                          .grad = {.tensor = Tensor(on, in.shape, stored)}});
  }
  return parameters;
}

void backward(Tape& tape, const OpCase& op, const Vars& outputs) {
  std::vector<Var> from;
  std::vector<Tensor> seeds;
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    const Var& y = outputs[k];
    if (y.slot < 0) continue;
    from.push_back(y);
    if (op.is_loss && k == 0) {
      seeds.emplace_back();
      continue;
    }
    seeds.push_back(uploaded(y.value.backend(), y.value.shape(), y.value.dtype(),
                             projection(op, k, y.value.elements())));
  }
  tape.backward(from, seeds);
}

double projected(const OpCase& op, const Vars& outputs) {
  double sum = 0;
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    const Values y = download_real(outputs[k].value);
    const Values r = projection(op, k, Index(y.size()));
    for (std::size_t i = 0; i < r.size(); ++i) sum += r[i] * y[i];
  }
  return sum;
}

// L at a point, rounding frozen at the first one if the op rounds
class Surface {
 public:
  Surface(Backend& on, const OpCase& op, const std::vector<Values>& origin) : on_(on), op_(op) {
    if (!op.rounds) return;
    at(origin);
    rounding_.freeze();
  }
  double at(const std::vector<Values>& point) {
    Vars inputs;
    for (std::size_t i = 0; i < point.size(); ++i)
      inputs.push_back({uploaded(on_, op_.inputs[i].shape, DType::f64, point[i])});
    if (!op_.rounds) return projected(op_, op_.apply(inputs));
    return projected(op_, op_.composed(inputs, rounding_));
  }
  // dL/dh of L(origin + h * direction) at h = 0
  double slope(const std::vector<Values>& origin, const std::vector<Values>& direction) {
    const auto central = [&](double h) {
      const auto moved = [&](double by) {
        std::vector<Values> point = origin;
        for (std::size_t i = 0; i < point.size(); ++i)
          for (std::size_t k = 0; k < point[i].size(); ++k) point[i][k] += by * direction[i][k];
        return at(point);
      };
      return (moved(h) - moved(-h)) / (2 * h);
    };
    const double h = 1e-3;
    return (4 * central(h / 2) - central(h)) / 3;
  }

 private:
  Backend& on_;
  const OpCase& op_;
  Rounding rounding_;
};

}  // namespace

Var Rounding::rounded(const Var& x, const std::function<Values(const Values&)>& round) {
  const Values before = download_real(x.value);
  if (frozen_) {
    Values offset = offsets_.at(next_);
    next_ = (next_ + 1) % offsets_.size();
    return add(x, {uploaded(x.value.backend(), x.value.shape(), DType::f64, offset)});
  }
  const Values after = round(before);
  offsets_.emplace_back(before.size());
  for (std::size_t i = 0; i < before.size(); ++i) offsets_.back()[i] = after[i] - before[i];
  return {uploaded(x.value.backend(), x.value.shape(), DType::f64, after), x.tape, x.slot};
}

Var Rounding::rows(const Var& x) {
  return rounded(x, [&](const Values& v) { return quantized_rows(v, x.value.shape().last()); });
}

Var Rounding::ternary_rows(const Var& x) {
  return rounded(x, [&](const Values& v) {
    const std::ptrdiff_t D = x.value.shape().last();
    Values out;
    for (auto row = v.begin(); row != v.end(); row += D)
      for (const double rounded : quantized_matrix({row, row + D})) out.push_back(rounded);
    return out;
  });
}

Var Rounding::ternary(const Var& w) {
  return rounded(w, quantized_matrix);
}

Var Rounding::constant(const Var& x) {
  if (!frozen_) {
    offsets_.push_back(download_real(x.value));
    return {x.value};
  }
  const Values& before = offsets_.at(next_);
  next_ = (next_ + 1) % offsets_.size();
  return {uploaded(x.value.backend(), x.value.shape(), DType::f64, before)};
}

namespace {

double largest(const Values& x, std::size_t row, Index columns, double least) {
  for (Index i = 0; i < columns; ++i) least = std::max(least, std::abs(x[row + i]));
  return least;
}

double nearest_e4m3(double x) {
  const double step = std::ldexp(1, std::max(std::ilogb(x), -6) - 3);
  return std::clamp(std::nearbyint(x / step) * step, -448.0, 448.0);
}

}  // namespace

Values rounded_to_fp8(const Values& dy, Index D) {
  Values out(dy.size());
  for (std::size_t row = 0; row < dy.size(); row += D) {
    const double scale = 448 / largest(dy, row, D, 1e-30);
    for (Index i = 0; i < D; ++i) out[row + i] = nearest_e4m3(dy[row + i] * scale) / scale;
  }
  return out;
}

Values inputs_in_fp8(const Values& x, const Values& dy, Index I, Index O) {
  const std::size_t N = dy.size() / std::size_t(O);
  Values factor(N), g(N), out(x.size());
  for (std::size_t n = 0; n < N; ++n) {
    factor[n] = largest(dy, n * O, O, 1e-30) / 448;
    g[n] = factor[n] * largest(x, n * I, I, 1e-5) / 127;
  }
  double s = 1;
  const double top = 127 * *std::ranges::max_element(g);
  while (s * top > 448) s /= 2;
  while (2 * s * top <= 448) s *= 2;
  for (std::size_t n = 0; n < N; ++n)
    for (std::size_t i = n * I; i < (n + 1) * I; ++i)
      out[i] = nearest_e4m3(x[i] * factor[n] * s) / s / factor[n];
  return out;
}

void Rounding::freeze() {
  frozen_ = true;
}

std::vector<Values> sample(const OpCase& op, std::uint64_t seed) {
  std::vector<Values> point;
  for (std::size_t i = 0; i < op.inputs.size(); ++i) {
    const OpInput& in = op.inputs[i];
    const Rng rng(seed, i);
    Values v(std::size_t(in.shape.elements()));
    for (std::size_t k = 0; k < v.size(); ++k)
      v[k] = double(float(in.low + (in.high - in.low) * rng.uniform(k)));  // exact in f32 too
    point.push_back(std::move(v));
  }
  return point;
}

Values projection(const OpCase& op, std::size_t output, Index size) {
  if (op.is_loss && output == 0) return {1};
  Values r(std::size_t(size), 0);
  for (Index k = 0; k < size; ++k) r[k] = std::sin(1.0 + double(k) + 0.7 * double(output));
  return r;
}

OpRun run_case(Backend& on, DType dtype, const OpCase& op, const std::vector<Values>& point,
               int backward_passes, DType gradients) {
  std::deque<Parameter> parameters = parameters_of(on, dtype, op, point, gradients);
  OpRun run;
  for (int pass = 0; pass < backward_passes; ++pass) {
    Tape tape;
    Vars inputs;
    for (Parameter& p : parameters) inputs.push_back(tape.leaf(p));
    const Vars outputs = op.apply(inputs);
    inputs.clear();
    run.outputs.clear();
    for (const Var& y : outputs) run.outputs.push_back(download_real(y.value));
    backward(tape, op, outputs);
  }
  for (Parameter& p : parameters) {
    p.grad.fill_unwritten();
    run.gradients.push_back(download_real(p.grad.tensor));
  }
  return run;
}

GradientError gradient_error(Backend& on, const OpCase& op, int elements) {
  const std::vector<Values> point = sample(op);
  const OpRun tape = run_case(on, DType::f64, op, point);
  Surface surface(on, op, point);
  std::vector<Values> still;
  for (const Values& v : point) still.emplace_back(v.size());
  GradientError error;
  const auto compare = [&](const std::vector<Values>& direction, const std::string& where) {
    double got = 0, size = 1;
    for (std::size_t i = 0; i < point.size(); ++i)
      for (std::size_t k = 0; k < point[i].size(); ++k)
        got += tape.gradients[i][k] * direction[i][k];
    const double want = surface.slope(point, direction);
    size = std::max(size, std::abs(want));
    const double off = std::abs(got - want) / size;
    if (!(off <= error.worst)) error = {off, where};
  };
  for (std::size_t i = 0; i < point.size(); ++i) {
    const std::size_t n = point[i].size(), step = std::max<std::size_t>(1, n / elements);
    for (std::size_t k = 0; k < n; k += step) {
      std::vector<Values> direction = still;
      direction[i][k] = 1;
      compare(direction, op.inputs[i].name + "[" + std::to_string(k) + "]");
    }
  }
  for (int d = 0; d < 3; ++d) {
    std::vector<Values> direction = still;
    double square = 0;
    for (std::size_t i = 0; i < point.size(); ++i)
      for (std::size_t k = 0; k < point[i].size(); ++k)
        square += std::pow(direction[i][k] = Rng(100 + d, i).normal(k), 2);
    for (Values& v : direction)
      for (double& e : v) e /= std::sqrt(square);
    compare(direction, "direction " + std::to_string(d));
  }
  return error;
}

Values rounded_to_bf16(Values values) {
  for (double& x : values) x = double(to_real(to_stored<BFloat16>(float(x))));
  return values;
}

double relative_error(const Values& a, const Values& b) {
  double difference = 0, size = 0;
  bool finite = a.size() == b.size();
  for (std::size_t i = 0; finite && i < a.size(); ++i) {
    finite = std::isfinite(a[i]) && std::isfinite(b[i]);
    difference = std::max(difference, std::abs(a[i] - b[i]));
    size = std::max(size, std::abs(b[i]));
  }
  if (!finite) return std::numeric_limits<double>::infinity();
  return size > 0 ? difference / size : difference;
}

}  // namespace tern
