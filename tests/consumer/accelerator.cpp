#include "accelerator.h"

#include <cmath>

namespace accelerator {

std::vector<std::int32_t> ternary_sums(const std::vector<std::int8_t>& q,
                                       const std::vector<std::int8_t>& t, int N, int O, int I) {
  std::vector<std::int32_t> sums;
  for (int n = 0; n < N; ++n)
    for (int o = 0; o < O; ++o) {
      std::int32_t sum = 0;
      for (int i = 0; i < I; ++i) {
        if (t[o * I + i] > 0) sum += q[n * I + i];
        if (t[o * I + i] < 0) sum -= q[n * I + i];
      }
      sums.push_back(sum);
    }
  return sums;
}

std::vector<double> scan(const std::vector<double>& f_in, const std::vector<double>& c_in,
                         const std::vector<double>& bound, int T, int D) {
  std::vector<double> h(T * D);
  for (int d = 0; d < D; ++d) {
    double state = 0;
    for (int at = d; at < T * D; at += D) {
      const double f = bound[d] + (1 - bound[d]) / (1 + std::exp(-f_in[at]));
      const double c = c_in[at] / (1 + std::exp(-c_in[at]));
      h[at] = state = f * state + (1 - f) * c;
    }
  }
  return h;
}

}  // namespace accelerator
