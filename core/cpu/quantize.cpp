#include "core/cpu/cpu_backend.h"
#include "core/cpu/rows.h"

namespace tern {

using namespace cpu;

void CpuBackend::run(const QuantizeRows& a) {
  visit_real(a.x.dtype(), [&]<class R>() {
    const Index D = a.x.shape().last(), N = a.x.elements() / D;
    std::int8_t* q = a.y.q.data<std::int8_t>();
    R* scale = a.y.row_scale.data<R>();
    const R* x = a.x.data<R>();
    for_chunks(N, 16, [&](Index, Index begin, Index end) {
      for (Index n = begin; n < end; ++n) scale[n] = quantize_row(q + n * D, x + n * D, D);
    });
  });
}

void CpuBackend::run(const Dequantize& a) {
  visit_real(a.x.dtype(), [&]<class R>() {
    const Index D = a.x.shape().last(), N = a.x.elements() / D;
    const std::int8_t* q = a.y.q.data<std::int8_t>();
    const R* scale = a.y.row_scale.data<R>();
    R* x = a.x.data<R>();
    for_chunks(N, 16, [&](Index, Index begin, Index end) {
      for (Index n = begin; n < end; ++n)
        for (Index i = 0; i < D; ++i) x[n * D + i] = R(q[n * D + i]) / scale[n];
    });
  });
}

void CpuBackend::run(const SumMagnitudes& a) {
  visit_real(a.w.dtype(), [&]<class R>() {
    const R* w = a.w.data<R>();
    double* sums = a.sums.data<double>();
    for_chunks(a.w.elements(), kSumPiece, [&](Index p, Index begin, Index end) {
      sums[p] = sum_of_magnitudes(w + begin, end - begin);
    });
  });
}

namespace {

// One of the matrices that a QuantizeTernary speaks of.
struct Matrix {
  Index first = 0, last = 0;  // pieces [first, last)
  Index elements = 0;
};

std::vector<Matrix> matrices_of(const QuantizeTernary& a) {
  const Index M = a.y.scale.elements();
  if (!a.layout.first) return {{0, a.magnitudes.elements(), a.w.elements()}};
  const std::int32_t* first = a.layout.first.data<std::int32_t>();
  const double* elements = a.layout.elements.data<double>();
  std::vector<Matrix> all;
  for (Index m = 0; m < M; ++m) all.push_back({first[m], first[m + 1], Index(elements[m])});
  return all;
}

// 1 / mean |w|, NaN if that is not finite
template <class R>
R scale_of(const Matrix& matrix, const double* magnitudes) {
  const double mean =
      column_sum(magnitudes + matrix.first, matrix.last - matrix.first) / double(matrix.elements);
  return std::isfinite(mean) ? R(1) / std::max(R(mean), R(1e-5))
                             : std::numeric_limits<R>::quiet_NaN();
}

struct Counts {
  Index zeros = 0, flips = 0;
};

// Codes of n <= kSumPiece elements; counted, if that is wanted, against those that were there.
template <class R>
Counts write_codes(std::int8_t* t, const R* w, R scale, Index n, bool count) {
  std::int8_t codes[kSumPiece] = {};
  if (!std::isnan(scale)) round_row(codes, w, scale, R(-1), R(1), n);
  Counts counts;
  for (Index i = 0; count && i < n; ++i) {
    counts.zeros += codes[i] == 0;
    counts.flips += codes[i] != t[i];
  }
  std::copy_n(codes, n, t);
  return counts;
}

}  // namespace

void CpuBackend::run(const QuantizeTernary& a) {
  visit_real(a.w.dtype(), [&]<class R>() {
    const R* w = a.w.data<R>();
    std::int8_t* t = a.y.t.data<std::int8_t>();
    R* scales = a.y.scale.data<R>();
    double* stats = data_or_null<double>(a.stats);
    std::vector<Counts> counts(std::size_t(a.magnitudes.elements()));
    for (const Matrix& matrix : matrices_of(a)) {
      const R scale = scale_of<R>(matrix, a.magnitudes.data<double>());
      *scales++ = scale;
      const Index begin = matrix.first * kSumPiece;
      for_chunks(matrix.elements, kSumPiece, [&](Index p, Index from, Index to) {
        counts[matrix.first + p] =
            write_codes(t + begin + from, w + begin + from, scale, to - from, stats);
      });
      if (!stats) continue;
      Counts sum;
      for (Index p = matrix.first; p < matrix.last; ++p)
        sum = {sum.zeros + counts[p].zeros, sum.flips + counts[p].flips};
      *stats++ = double(sum.zeros);
      *stats++ = double(sum.flips);
    }
  });
}

namespace {

constexpr Index kPackedChunk = 1 << 14;  // bytes

void require_packed(const Tensor& packed, const Tensor& t) {
  check(t.elements() % 16 == 0 && packed.elements() * 4 == t.elements(),
        "[pack_ternary] expected four codes a byte and whole groups of 16, got ", t, " and ",
        packed);
}

}  // namespace

void CpuBackend::run(const PackTernary& a) {
  require_packed(a.packed, a.t);
  const std::int8_t* t = a.t.data<std::int8_t>();
  std::int8_t* packed = a.packed.data<std::int8_t>();
  for_chunks(a.packed.elements(), kPackedChunk, [&](Index, Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      unsigned byte = 0;
      for (int k = 0; k < 4; ++k) byte |= (unsigned(t[4 * i + k]) & 3) << 2 * k;
      packed[i] = std::int8_t(byte);
    }
  });
}

void CpuBackend::run(const UnpackTernary& a) {
  require_packed(a.packed, a.t);
  std::int8_t* t = a.t.data<std::int8_t>();
  const std::int8_t* packed = a.packed.data<std::int8_t>();
  for_chunks(a.packed.elements(), kPackedChunk, [&](Index, Index begin, Index end) {
    for (Index i = begin; i < end; ++i)
      for (int k = 0; k < 4; ++k) {
        const int code = packed[i] >> 2 * k & 3;
        t[4 * i + k] = std::int8_t(code == 3 ? -1 : code);
      }
  });
}

}  // namespace tern
