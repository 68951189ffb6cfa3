#include "core/host.h"

namespace tern {

void upload_real(const Tensor& to, const std::vector<double>& values) {
  check(Index(values.size()) == to.elements() && is_real(to.dtype()), "[upload_real] expected ",
        values.size(), " real elements, got ", to);
  if (to.dtype() == DType::f64) return to.backend().upload(to, values.data());
  const std::vector<float> narrow(values.begin(), values.end());
  to.backend().upload(to, narrow.data());
}

std::vector<double> download_real(const Tensor& from) {
  check(is_real(from.dtype()), "[download_real] expected real elements, got ", from);
  std::vector<double> values(from.elements());
  if (from.dtype() == DType::f64) {
    from.backend().download(values.data(), from);
    return values;
  }
  std::vector<float> narrow(from.elements());
  from.backend().download(narrow.data(), from);
  return {narrow.begin(), narrow.end()};
}

Tensor upload_ids(Backend& on, Shape shape, const std::vector<std::int32_t>& ids) {
  const Tensor to(on, shape, DType::i32);
  check(Index(ids.size()) == to.elements(), "[upload_ids] expected ", to.elements(), " ids, got ",
        ids.size());
  on.upload(to, ids.data());
  return to;
}

}  // namespace tern
