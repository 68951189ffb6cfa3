#include <cmath>
#include <random>

#include "core/workspace.h"
#include "cuda/backend/device_query.h"
#include "cuda/products/blas.h"
#include "cuda/products/product_kernels.h"
#include "tests/cuda/product_check.cuh"

namespace tern::cuda {
namespace {

// |a - b| / |b|
template <class T>
double relative_error(const Buffer<T>& a, const Buffer<float>& b, std::size_t count) {
  const Buffer<double> sums(2);
  cuda_check(cudaMemset(sums.get(), 0, 2 * sizeof(double)), "[relative_error]");
  square<<<1024, 256>>>(a.get(), b.get(), count, sums.get());
  launched("[square]");
  const auto s = sums.host(0, 2);
  return std::sqrt(s[0] / s[1]);
}

// dx and dw, the way cuda/products/product.cu asks for them.
struct Backward {
  Backward(const Size& size, const Operands& operands)
      : s(size),
        in(operands),
        dy(std::size_t(s.N) * s.O),
        workspace(kLibraryWorkspace),
        factors(2),
        t(std::size_t(s.O) * s.I),
        x(std::size_t(rows_expanded(s.N, s.I)) * s.I),
        dx(std::size_t(s.N) * s.I),
        dw(std::size_t(s.O) * s.I) {
    fill<<<blocks(std::size_t(s.N) * s.O), 256>>>(dy.get(), std::size_t(s.N) * s.O, -1.0f, 1.0f,
                                                  5u);
    launched("[fill]");
  }
  void expand_t(bool add) const {
    expand_ternary({t.get(), factors.get(), in.t.get(), in.scale.get(), add}, Index(s.O) * s.I,
                   nullptr);
  }
  void multiply_dx(bool add) const {
    blas.run({.key = {.shape = {.M = s.N, .N = s.I, .K = s.O},
                      .type = DType::bf16,
                      .add = add,
                      .device_factors = true},
              .c = dx.get(),
              .a = dy.get(),
              .b = t.get(),
              .factors = factors.get(),
              .workspace = workspace.get()},
             nullptr);
  }
  void expand_q(Index first, Index rows) const {
    expand_rows(x.get(), in.q.get() + first * s.I, in.row_scale.get() + first, rows, s.I, nullptr);
  }
  void multiply_dw(Index first, Index rows, bool add) const {
    blas.run({.key = {.shape = {.M = s.O, .N = s.I, .K = rows, .transpose_a = true},
                      .type = DType::f32,
                      .add = add},
              .c = dw.get(),
              .a = dy.get() + first * s.O,
              .b = x.get(),
              .workspace = workspace.get()},
             nullptr);
  }
  void run(bool add) const {
    expand_t(add);
    multiply_dx(add);
    const Index most = rows_expanded(s.N, s.I);
    for (Index n = 0; n < s.N; n += most) {
      expand_q(n, std::min(most, s.N - n));
      multiply_dw(n, std::min(most, s.N - n), add || n > 0);
    }
  }
  PlainProduct plain_dx(const Buffer<float>& to, bool add) const {
    return {.shape = {.M = s.N, .N = s.I, .K = s.O},
            .c = to.get(),
            .add = add,
            .divisor = in.scale.get(),
            .a = {dy.get(), DType::bf16},
            .b = {in.t.get(), DType::i8}};
  }
  PlainProduct plain_dw(const Buffer<float>& to, bool add) const {
    return {.shape = {.M = s.O, .N = s.I, .K = s.N, .transpose_a = true},
            .c = to.get(),
            .add = add,
            .a = {dy.get(), DType::bf16},
            .b = {in.q.get(), DType::i8, in.row_scale.get()}};
  }
  const Size s;
  const Operands& in;
  Buffer<bf16> dy;
  Buffer<unsigned char> workspace;
  Buffer<float> factors;
  Buffer<bf16> t, x, dx;
  Buffer<float> dw;
  mutable Blas blas{AlgorithmTable(algorithm_table_path()), machine_name(0)};
};

// the plain float kernel at one element of dx and dw: within rounding of the sum of magnitudes
void check_plain_element(const Backward& b, const Buffer<float>& dx, const Buffer<float>& dw, int n,
                         int o, int i) {
  const Size& s = b.s;
  const float scale = b.in.scale.host(0, 1)[0];
  const auto dy = b.dy.host(0, std::size_t(s.N) * s.O);
  const auto t = b.in.t.host(0, std::size_t(s.O) * s.I), q = b.in.q.host(0, std::size_t(s.N) * s.I);
  const auto row_scale = b.in.row_scale.host(0, s.N);
  double sum_x = 0, size_x = 0, sum_w = 0, size_w = 0;
  for (int k = 0; k < s.O; ++k) {
    const double term =
        double(as_float(dy[std::size_t(n) * s.O + k])) * t[std::size_t(k) * s.I + i];
    sum_x += term / scale, size_x += std::abs(term / scale);
  }
  for (int k = 0; k < s.N; ++k) {
    const double term =
        double(as_float(dy[std::size_t(k) * s.O + o])) * q[std::size_t(k) * s.I + i] / row_scale[k];
    sum_w += term, size_w += std::abs(term);
  }
  const double got_x = dx.host(std::size_t(n) * s.I + i, 1)[0];
  const double got_w = dw.host(std::size_t(o) * s.I + i, 1)[0];
  report(std::abs(got_x - sum_x) <= 1e-5 * size_x, "plain dx against the host", s);
  report(std::abs(got_w - sum_w) <= 1e-5 * size_w, "plain dw against the host", s);
}

}  // namespace

void check_backward(const Operands& in, const Size& s, bool real) {
  const Backward b(s, in);
  const Buffer<float> dx(std::size_t(s.N) * s.I), dw(std::size_t(s.O) * s.I);
  product_plain(b.plain_dx(dx, false), nullptr);
  product_plain(b.plain_dw(dw, false), nullptr);
  cuda_check(cudaDeviceSynchronize(), "[plain backward]");
  std::mt19937 random(8);
  for (int k = 0; !real && k < 8; ++k)
    check_plain_element(b, dx, dw, k ? int(random() % s.N) : s.N - 1,
                        k ? int(random() % s.O) : s.O - 1, k ? int(random() % s.I) : s.I - 1);
  report(dx.guarded() && dw.guarded(), "plain backward wrote beyond its output", s);
  if (!library_product(DType::bf16, s.O, s.I)) return;
  b.run(false);
  b.run(true);  // twice the gradient
  product_plain(b.plain_dx(dx, true), nullptr);
  product_plain(b.plain_dw(dw, true), nullptr);
  cuda_check(cudaDeviceSynchronize(), "[backward]");
  const double error_x = relative_error(b.dx, dx, std::size_t(s.N) * s.I);
  const double error_w = relative_error(b.dw, dw, std::size_t(s.O) * s.I);
  report(error_x < 4e-3, "dx through the library", s);
  report(error_w < 4e-3, "dw through the library", s);
  report(b.dx.guarded() && b.dw.guarded(), "library backward wrote beyond its output", s);
}

}  // namespace tern::cuda
