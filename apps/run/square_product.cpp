#include "apps/run/square_product.h"

#include <vector>

#include "core/host.h"
#include "core/rng.h"

namespace tern {

SquareProduct::SquareProduct(Backend& on, DType dtype, Index n)
    : n_(n), x_(on, {n, n}, dtype), w_(on, {n, n}, dtype), y_(on, {n, n}, dtype) {
  constexpr Index rows = 64;  // repeated
  const Rng rng(1, stream_of("peak"));
  std::vector<double> values(std::size_t(rows * n));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = rng.uniform(i) - 0.5;
  for (const Tensor& t : {x_, w_})
    for (Index row = 0; row < n; row += rows) upload_real(t.slice(row, rows), values);
}

double SquareProduct::seconds() const {
  Backend& on = y_.backend();
  return on.seconds_of([&] { on.run(Matmul{.y = y_, .x = x_, .w = w_}); });
}

}  // namespace tern
