#include "core/tensor.h"

#include "core/backend.h"
#include "core/ternary_tiles.h"

namespace tern {

Storage::Storage(Backend& b, std::size_t n)
    : backend(b), bytes(n), data(b.pool().allocate(n)), borrowed_(false) {}
Storage::Storage(Backend& b, void* p, std::size_t n, std::shared_ptr<const void> owner)
    : backend(b), bytes(n), data(p), borrowed_(true), owner_(std::move(owner)) {}
Storage::~Storage() {
  if (!borrowed_) backend.pool().release(data, bytes);
}

std::size_t Tensor::bytes() const {
  if (dtype_ != DType::t2) return std::size_t(elements()) * bits(dtype_) / 8;
  check(shape_.rank() == 2, "[Tensor] t2: expected rank 2, got ", shape_);
  return std::size_t(tiles_of(shape_[0], shape_[1])) * sizeof(TernaryTile);
}

Tensor::Tensor(Backend& b, Shape s, DType t) : shape_(s), dtype_(t) {
  storage_ = std::make_shared<Storage>(b, bytes());
}

Tensor Tensor::borrow(Backend& b, Shape s, DType t, void* data, std::shared_ptr<const void> owner) {
  Tensor view;
  view.shape_ = s;
  view.dtype_ = t;
  view.storage_ = std::make_shared<Storage>(b, data, view.bytes(), std::move(owner));
  return view;
}

Backend& Tensor::backend() const {
  check(bool(storage_), "[Tensor] expected a tensor, got nothing");
  return storage_->backend;
}

void* Tensor::raw() const {
  check(bool(storage_), "[Tensor] expected a tensor, got nothing");
  return static_cast<std::byte*>(storage_->data) + offset_ * bits(dtype_) / 8;
}

Tensor Tensor::reshape(Shape shape) const {
  check(dtype_ != DType::t2 || shape == shape_, "[reshape] t2: expected ", shape_, ", got ", shape);
  check(shape.elements() == elements(), "[reshape] expected ", elements(), " elements, got ",
        shape);
  Tensor view = *this;
  view.shape_ = shape;
  return view;
}

Tensor Tensor::slice(Index first, Index count) const {
  check(dtype_ != DType::t2, "[slice] expected another type than t2, got ", *this);
  check(shape_.rank() > 0 && first >= 0 && count >= 0 && first + count <= shape_[0],
        "[slice] rows ", first, " to ", first + count, " of ", *this);
  Shape shape{count};
  for (int i = 1; i < shape_.rank(); ++i) shape.push_back(shape_[i]);
  Tensor view = *this;
  view.shape_ = shape;
  view.offset_ = offset_ + first * shape_.product(1, shape_.rank());
  return view;
}

}  // namespace tern
