#include "tests/support/op_cases.h"

namespace tern {

std::vector<OpCase> op_cases() {
  std::vector<OpCase> all;
  for (const auto& cases : {element_cases(), view_cases(), quantizer_cases(), product_cases(),
                            mlgru_cases(), attention_cases(), loss_cases(), checkpoint_cases()})
    all.insert(all.end(), cases.begin(), cases.end());
  return all;
}

}  // namespace tern
