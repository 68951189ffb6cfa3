// Plain differentiable ops: enough to write a new token mixer without a kernel.
// Axes count from 0; negative ones from the end. Every op throws Error if shapes do not fit.
#pragma once

#include "autograd/tape.h"

namespace tern {

Var exp(const Var& x);
Var sigmoid(const Var& x);
Var silu(const Var& x);        // x * sigmoid(x)
Var reciprocal(const Var& x);  // 1 / x

// b has the shape of a, or of its trailing dimensions, or one element; it is repeated over the
// rest.
Var add(const Var& a, const Var& b);
Var subtract(const Var& a, const Var& b);
Var multiply(const Var& a, const Var& b);
Var scale(const Var& x, double factor);

Var sum(const Var& x, int axis);  // the axis disappears; of a vector: (1)
Var softmax(const Var& x, int axis);
Var cumsum(const Var& x, int axis);

// y (..., O) = x (..., I) w (O, I)^T
Var matmul(const Var& x, const Var& w);
// y (..., D) = x / sqrt(mean(x^2) + eps) * w (D), over the last dimension
Var rms_norm(const Var& x, const Var& w, double eps = 1e-6);
// y (ids..., D) = table (V, D) [ids];  ids i32, the caller has checked 0 <= id < V. rows: dtype of
// y, by default the table's.
Var embedding(const Var& table, const Tensor& ids, std::optional<DType> rows = {});

// Views: no copy, the gradient goes straight into the parent's.
Var slice(const Var& x, Index first, Index count);  // rows of the leading dimension
Var reshape(const Var& x, Shape shape);
// parts one after the other along the leading dimension
Var concatenate(const std::vector<Var>& parts);

}  // namespace tern
