#include "optim/replicas.h"

#include <algorithm>
#include <numeric>

namespace tern {
namespace {

constexpr Index kCodesInByte = 4;

Range packed(Range codes) {
  return {codes.first / kCodesInByte, codes.count / kCodesInByte};
}

Tensor part(const Tensor& t, Range r) {
  return t.slice(r.first, r.count);
}

}  // namespace

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
    add(pack_.scales(), pack_.matrix_places(r), r);
    if (stats) add(pack_.stats(), pack_.matrix_places(r), r);
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
