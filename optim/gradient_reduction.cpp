#include "optim/gradient_reduction.h"

#include <iterator>

namespace tern {

GradientReduction::GradientReduction(ParameterPack& pack, Communicator& ranks,
                                     std::size_t bucket_bytes)
    : pack_(pack), ranks_(ranks), bucket_bytes_(bucket_bytes) {}

void GradientReduction::ready(const Parameter& p) {
  auto [begin, end] = pack_.range(p);
  const auto sent = reduced_.upper_bound(begin);
  check(
      (sent == reduced_.begin() || std::prev(sent)->second <= begin) && !complete_.contains(begin),
      "[GradientReduction] ", p.name, ": complete for the second time in a step");
  const auto after = complete_.find(end);
  if (after != complete_.end()) {
    end = after->second;
    complete_.erase(after);
  }
  const auto next = complete_.lower_bound(begin);
  if (next != complete_.begin() && std::prev(next)->second == begin) {
    begin = std::prev(next)->first;
    complete_.erase(std::prev(next));
  }
  const std::size_t element = std::size_t(bits(pack_.gradients().dtype()) / 8);
  if (std::size_t(end - begin) * element >= bucket_bytes_)
    reduce(begin, end);
  else
    complete_.emplace(begin, end);
}

void GradientReduction::finish() {
  Index at = 0;  // gaps are what nobody called ready, or what waits for a bucket
  const std::map<Index, Index> sent = reduced_;
  for (const auto& [begin, end] : sent) {
    if (at < begin) reduce(at, begin);
    at = end;
  }
  if (at < pack_.gradients().elements()) reduce(at, pack_.gradients().elements());
  for (Pending& p : pending_) p.wait();
  pending_.clear();
  complete_.clear();
  reduced_.clear();
}

void GradientReduction::reduce(Index begin, Index end) {
  reduced_.emplace(begin, end);
  pending_.push_back(ranks_.all_reduce(pack_.gradients().slice(begin, end - begin), Op::sum));
}

}  // namespace tern
