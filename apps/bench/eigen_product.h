// The yardstick of CPU training: Eigen's own float product with Eigen's own threads.
#pragma once

#include <cstdint>
#include <memory>

namespace tern {

// y (N, O) = x (N, I) w (I, O), float, random operands
class EigenProduct {
 public:
  EigenProduct(std::int64_t N, std::int64_t I, std::int64_t O);
  ~EigenProduct();
  void run();
  double flops() const;  // 2 N I O
  static int threads();  // that Eigen would use

 private:
  struct Operands;
  std::unique_ptr<Operands> operands_;
};

}  // namespace tern
