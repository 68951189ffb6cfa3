// Tensors to and from vectors on the host, converting between real dtypes.
#pragma once

#include <vector>

#include "core/backend.h"

namespace tern {

// values.size() elements into a tensor of that size; a real tensor takes its own precision
void upload_real(const Tensor& to, const std::vector<double>& values);
std::vector<double> download_real(const Tensor& from);

Tensor upload_ids(Backend& on, Shape shape, const std::vector<std::int32_t>& ids);

}  // namespace tern
