#include "core/tensor.h"

#include "core/backend.h"

namespace tern {

Storage::Storage(Backend& b, std::size_t n)
    : backend(b), bytes(n), data(b.pool().allocate(n)), borrowed_(false) {}
Storage::Storage(Backend& b, void* p, std::size_t n, std::shared_ptr<const void> owner)
    : backend(b), bytes(n), data(p), borrowed_(true), owner_(std::move(owner)) {}
Storage::~Storage() {
  if (!borrowed_) backend.pool().release(data, bytes);
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
  check(shape.elements() == elements(), "[reshape] expected ", elements(), " elements, got ",
        shape);
  Tensor view = *this;
  view.shape_ = shape;
  return view;
}

Tensor Tensor::slice(Index first, Index count) const {
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
