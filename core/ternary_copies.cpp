#include "core/ternary_copies.h"

#include "core/backend.h"

namespace tern {
namespace {

template <class T>
Tensor table(Backend& on, const std::vector<T>& values) {
  const Tensor t(on, {Index(values.size())}, dtype_of<T>);
  on.upload(t, values.data());
  return t;
}

TernaryLayout layout_of(Backend& on, std::span<const TernaryCopies::Place> matrices, Index pieces) {
  std::vector<std::int32_t> first, matrix;
  std::vector<double> elements;
  for (const TernaryCopies::Place& place : matrices) {
    check(place.first % kSumPiece == 0 && place.first >= Index(matrix.size()) * kSumPiece,
          "[TernaryCopies] expected matrices in order, each at the start of a piece of ", kSumPiece,
          ", got one at ", place.first);
    first.push_back(std::int32_t(place.first / kSumPiece));
    elements.push_back(double(place.count));
    matrix.resize(std::size_t(first.back() + sum_pieces(place.count)),
                  std::int32_t(first.size() - 1));
  }
  check(Index(matrix.size()) == pieces, "[TernaryCopies] expected matrices that fill ", pieces,
        " pieces, got ", matrix.size());
  first.push_back(std::int32_t(pieces));
  return {.first = table(on, first), .elements = table(on, elements), .matrix = table(on, matrix)};
}

}  // namespace

TernaryCopies::TernaryCopies(const Tensor& weights, std::span<const Place> matrices,
                             const Room& room)
    : room_(room),
      weights_(weights),
      sums_(weights.backend(), {sum_pieces(weights.elements())}, DType::f64),
      layout_(layout_of(weights.backend(), matrices, sums_.elements())) {
  weights.backend().fill(sums_, 0);
}

std::size_t TernaryCopies::bytes() const {
  std::size_t sum = 0;
  for (const Tensor* t : {&sums_, &layout_.first, &layout_.elements, &layout_.matrix})
    sum += t->bytes();
  return sum;
}

void TernaryCopies::sum_magnitudes() {
  if (weights_.elements() == 0) return;
  weights_.backend().run(SumMagnitudes{.sums = sums_, .w = weights_});
}

void TernaryCopies::quantize(bool count) {
  if (weights_.elements() == 0) return;
  weights_.backend().run(QuantizeTernary{.y = {.t = room_.t, .scale = room_.scales},
                                         .stats = count ? room_.stats : Tensor{},
                                         .w = weights_,
                                         .magnitudes = sums_,
                                         .layout = layout_});
}

}  // namespace tern
