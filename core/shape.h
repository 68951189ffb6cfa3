// The dimensions of a row-major tensor, at most four.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>

#include "core/check.h"

namespace tern {

using Index = std::int64_t;

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Index> dims) {
    for (const Index d : dims) push_back(d);
  }
  void push_back(Index d) {
    check(rank_ < int(dims_.size()), "[Shape] expected rank <= ", dims_.size());
    check(d >= 0, "[Shape] expected dimensions >= 0, got ", d);
    dims_[rank_++] = d;
  }
  int rank() const { return rank_; }
  Index operator[](int i) const { return dims_[i]; }
  Index last() const { return rank_ ? dims_[rank_ - 1] : 1; }
  Index elements() const { return product(0, rank_); }
  // product of dimensions [first, end)
  Index product(int first, int end) const {
    Index n = 1;
    for (int i = first; i < end; ++i) n *= dims_[i];
    return n;
  }
  bool operator==(const Shape&) const = default;
  friend std::ostream& operator<<(std::ostream& out, const Shape& s) {
    out << '(';
    for (int i = 0; i < s.rank_; ++i) out << (i ? ", " : "") << s.dims_[i];
    return out << ')';
  }

 private:
  std::array<Index, 4> dims_{};
  int rank_ = 0;
};

}  // namespace tern
