// A Tensor is a contiguous, row-major view of one Storage: shape, dtype, offset. Nothing else. (t2
// alone is not row-major: a matrix in tiles, always seen as a whole, core/ternary_tiles.h.)
// It is data; functions on it are kernels (core/kernels.h) and ops (autograd/ops).
#pragma once

#include <memory>
#include <string_view>

#include "core/dtype.h"
#include "core/shape.h"

namespace tern {

class Backend;

// Memory on one backend: an allocation, returned to the backend's pool when the last Tensor lets
// go, or memory of others, which it only borrows.
class Storage {
 public:
  Storage(Backend& backend, std::size_t bytes);
  // owner: kept until the last Tensor lets go
  Storage(Backend& backend, void* data, std::size_t bytes, std::shared_ptr<const void> owner);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  Backend& backend;
  const std::size_t bytes;
  void* const data;
  bool is_borrowed() const { return borrowed_; }

 private:
  const bool borrowed_;
  const std::shared_ptr<const void> owner_{};
};

class Tensor {
 public:
  Tensor() = default;
  Tensor(Backend& backend, Shape shape, DType dtype);  // uninitialised
  // A tensor in memory that this backend's device can reach and others own: a file's mapping,
  // another library's array. owner keeps it alive; null: it outlives the tensor.
  static Tensor borrow(Backend& backend, Shape shape, DType dtype, void* data,
                       std::shared_ptr<const void> owner = {});

  explicit operator bool() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  Index elements() const { return shape_.elements(); }
  std::size_t bytes() const;
  Backend& backend() const;  // throws if empty, like raw()

  // the same elements under another shape
  Tensor reshape(Shape shape) const;
  // rows [first, first + count) of the leading dimension
  Tensor slice(Index first, Index count) const;

  // This is the only Tensor of its memory: nobody sees it written.
  bool is_sole() const { return storage_.use_count() == 1 && !storage_->is_borrowed(); }

  // Typed pointer to the first element; throws unless T is this tensor's dtype.
  template <class T>
  T* data() const {
    check(dtype_of<T> == dtype_, "[Tensor] asked for ", dtype_of<T>, ", tensor is ", *this);
    return static_cast<T*>(raw());
  }
  void* raw() const;  // address of the first element, whatever it is

  friend std::ostream& operator<<(std::ostream& out, const Tensor& t) {
    return t ? out << t.shape_ << ' ' << t.dtype_ : out << "nothing";
  }

 private:
  std::shared_ptr<Storage> storage_;
  Shape shape_;
  DType dtype_ = DType::f32;
  Index offset_ = 0;  // elements
};

// const auto [B, T, D] = dims<3>(x, "[mlgru] f");  -- names the dimensions and checks the rank
template <int N>
std::array<Index, N> dims(const Tensor& t, std::string_view what) {
  check(t && t.shape().rank() == N, what, ": expected rank ", N, ", got ", t);
  std::array<Index, N> out;
  for (int i = 0; i < N; ++i) out[i] = t.shape()[i];
  for (const Index d : out) check(d > 0, what, ": expected no empty dimension, got ", t);
  return out;
}

// int8 activations: the value is q / row_scale, one scale for each row of q.
struct Quantized {
  Tensor q{};          // (N, I) i8
  Tensor row_scale{};  // (N) real, 127 / absmax of the row
};

// A ternary matrix: the value is t / scale.
struct TernaryWeight {
  Tensor t{};      // (O, I) i8 in {-1, 0, 1}; or t2, to run only
  Tensor scale{};  // (1) real, 1 / absmean of the latent matrix
};

// A gradient in 8-bit floats: the value is codes * factors.
struct Fp8Rows {
  Tensor codes{};    // (N, O) e4m3
  Tensor factors{};  // (N) real, max(absmax of the row, 1e-30) / 448
  explicit operator bool() const { return bool(codes); }
};

}  // namespace tern
