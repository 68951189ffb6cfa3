// The one file outside core/cpu that includes Eigen: core/cpu switches Eigen's threading off and
// the yardstick is Eigen with it on. One program must not hold both under one name, or the linker
// would keep either for both; so here Eigen's namespace has another name.
#define Eigen EigenWithThreads
#include "apps/bench/eigen_product.h"

#include <Eigen/Core>

namespace tern {

struct EigenProduct::Operands {
  Eigen::MatrixXf x, w, y;
};

EigenProduct::EigenProduct(std::int64_t N, std::int64_t I, std::int64_t O)
    : operands_(new Operands{Eigen::MatrixXf::Random(N, I), Eigen::MatrixXf::Random(I, O),
                             Eigen::MatrixXf::Zero(N, O)}) {}

EigenProduct::~EigenProduct() = default;

void EigenProduct::run() {
  operands_->y.noalias() = operands_->x * operands_->w;
}

double EigenProduct::flops() const {
  return 2.0 * double(operands_->y.size()) * double(operands_->x.cols());
}

int EigenProduct::threads() {
  return Eigen::nbThreads();
}

}  // namespace tern
