#include "optim/rank_exchange.h"

#include <algorithm>
#include <iterator>
#include <numeric>

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

constexpr Index kCodesInByte = 4;

Range packed(Range codes) {
  return {codes.first / kCodesInByte, codes.count / kCodesInByte};
}

Tensor part(const Tensor& t, Range r) {
  return t.slice(r.first, r.count);
}

}  // namespace

GradientReduction::GradientReduction(ParameterPack& pack, Communicator& ranks,
                                     std::size_t bucket_bytes)
    : pack_(pack),
      ranks_(ranks),
      bucket_(Index(bucket_bytes) * 8 / bits(pack.gradients().dtype())) {}

void GradientReduction::ready(const Parameter& p) {
  const Range padded = pack_.padded_range(p);
  check(ready_.insert(padded.first).second, "[GradientReduction] ", p.name,
        ": complete for the second time in a step");
  const bool owners = !pack_.shard().alone();
  if (owners && padded.first >= pack_.shared().first) return;  // little: all of it in the end
  const auto joined = join(complete_, padded.first, padded.end());
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

Replicas::Replicas(ParameterPack& pack, Communicator& ranks) : pack_(pack), ranks_(ranks) {
  check(pack.shard().size == ranks.size() && pack.shard().rank == ranks.rank(),
        "[Replicas] expected an owner for each of ", ranks.size(), " ranks, got ",
        pack.shard().size);
  check(pack.ternary() != nullptr, "[Replicas] expected ternary copies");
  for (const LocalRows& local : pack.local_rows())
    if (local.parameter->sharding == Sharding::rows) rows_ = local;
  if (rows_.rows == 0) return;
  std::vector<std::int32_t> count(std::size_t(rows_.rows));
  std::iota(count.begin(), count.end(), 0);
  Backend& on = pack.values().backend();
  numbers_ = Tensor(on, {rows_.rows}, DType::i32);
  on.upload(numbers_, count.data());
}

// A copy of rows by their numbers rounds to the table's dtype.
void Replicas::copy_own_rows() {
  if (rows_.rows == 0) return;
  const Tensor to = rows_.parameter->value.slice(rows_.first_row, rows_.rows);
  to.backend().run(Embedding{.y = to, .table = pack_.view(pack_.values(), rows_), .ids = numbers_});
}

std::vector<Owned> Replicas::parts(const Tensor& codes, bool stats) const {
  std::vector<Owned> all;
  const auto add = [&](const Tensor& t, Range r, int owner) {
    if (r.count > 0) all.push_back({.t = part(t, r), .owner = owner});
  };
  for (int r = 0; r < pack_.shard().size; ++r) {
    add(codes, packed(pack_.matrices_of_ranks()[std::size_t(r)]), r);
    add(pack_.scales(), pack_.matrix_indices(r), r);
    if (stats) add(pack_.stats(), pack_.matrix_indices(r), r);
    const Parameter* table = pack_.table();
    if (!table) continue;
    const Range at = pack_.range(*table), rows = pack_.rows_of_ranks()[std::size_t(r)];
    const Index first = rows.first - at.first;  // the last rank's rows end in padding
    const Index count = std::min(rows.count, at.count - first);
    add(table->value.reshape({at.count}), {first, count}, r);
  }
  return all;
}

void Replicas::all_gather(bool stats) {
  Backend& on = pack_.values().backend();
  const Range own = pack_.matrices_of_ranks()[std::size_t(pack_.shard().rank)];
  const Tensor codes(on, {pack_.ternary_elements() / kCodesInByte}, DType::i8);
  if (own.count > 0)
    on.run(PackTernary{.packed = part(codes, packed(own)), .t = part(pack_.codes(), own)});
  copy_own_rows();
  ranks_.broadcast(parts(codes, stats)).wait();
  for (const Range others :
       {Range{0, own.first}, Range{own.end(), pack_.ternary_elements() - own.end()}})
    if (others.count > 0)
      on.run(
          UnpackTernary{.t = part(pack_.codes(), others), .packed = part(codes, packed(others))});
}

}  // namespace tern
