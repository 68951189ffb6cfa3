#include "optim/gradient_reduction.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>

namespace tern {
namespace {

using Ranges = std::map<Index, Index>;

// Adds [begin, end), joined with its neighbours; where it lies now.
Ranges::iterator join(Ranges& ranges, Index begin, Index end) {
  if (const auto after = ranges.find(end); after != ranges.end()) {
    end = after->second;
    ranges.erase(after);
  }
  const auto next = ranges.lower_bound(begin);
  if (next != ranges.begin() && std::prev(next)->second == begin) {
    std::prev(next)->second = end;
    return std::prev(next);
  }
  return ranges.emplace(begin, end).first;
}

Index elements(const Ranges& ranges) {
  return std::accumulate(ranges.begin(), ranges.end(), Index(0),
                         [](Index sum, const auto& r) { return sum + r.second - r.first; });
}

Ranges complement(const Ranges& ranges, Index end) {
  Ranges out;
  Index at = 0;
  for (const auto& [first, last] : ranges) {
    if (at < first) out.emplace(at, first);
    at = last;
  }
  if (at < end) out.emplace(at, end);
  return out;
}

}  // namespace

GradientReduction::GradientReduction(ParameterPack& pack, Communicator& ranks,
                                     std::size_t bucket_bytes)
    : pack_(pack),
      ranks_(ranks),
      bucket_(Index(bucket_bytes) * 8 / bits(pack.gradients().dtype())) {}

void GradientReduction::ready(const Parameter& p) {
  const Range room = pack_.room(p);
  check(ready_.insert(room.first).second, "[GradientReduction] ", p.name,
        ": complete for the second time in a step");
  const bool owners = !pack_.shard().alone();
  if (owners && room.first >= pack_.shared().first) return;  // little: all of it in the end
  const auto joined = join(complete_, room.first, room.end());
  if (owners && elements(complete_) >= bucket_) {
    send(std::exchange(complete_, {}));
  } else if (!owners && joined->second - joined->first >= bucket_) {
    const Ranges bucket{*joined};
    complete_.erase(joined);
    send(bucket);
  }
}

void GradientReduction::finish() {
  send(complement(sent_, pack_.gradients().elements()));
  for (Pending& p : pending_) p.wait();
  pending_.clear();
  ready_.clear();
  complete_.clear();
  sent_.clear();
}

void GradientReduction::send(const Ranges& ranges) {
  sent_.insert(ranges.begin(), ranges.end());
  if (!pack_.shard().alone()) return send_to_owners(ranges);
  for (const auto& [begin, end] : ranges)
    pending_.push_back(ranks_.all_reduce(part(begin, end), Op::sum));
}

void GradientReduction::send_to_owners(const Ranges& ranges) {
  std::vector<Owned> parts;
  const auto each_part = [&](Range of, const auto& take) {
    for (const auto& [first, last] : ranges) {
      const Index begin = std::max(first, of.first), end = std::min(last, of.end());
      if (begin < end) take(part(begin, end));
    }
  };
  for (const auto* ranges_of : {&pack_.matrices_of_ranks(), &pack_.rows_of_ranks()})
    for (std::size_t r = 0; r < ranges_of->size(); ++r)
      each_part((*ranges_of)[r], [&](const Tensor& t) { parts.push_back({t, int(r)}); });
  pending_.push_back(ranks_.reduce(parts, Op::sum));
  each_part(pack_.shared(),
            [&](const Tensor& t) { pending_.push_back(ranks_.all_reduce(t, Op::sum)); });
}

}  // namespace tern
