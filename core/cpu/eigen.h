// Eigen views of memory. Private to core/cpu: no other folder sees Eigen.
#pragma once

#include <Eigen/Core>

#include "core/tensor.h"

namespace tern::cpu {

template <class R>
using Matrix = Eigen::Matrix<R, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class R>
using Rows = Eigen::Map<Matrix<R>, 0, Eigen::OuterStride<>>;
template <class R>
using ConstRows = Eigen::Map<const Matrix<R>, 0, Eigen::OuterStride<>>;

}  // namespace tern::cpu
