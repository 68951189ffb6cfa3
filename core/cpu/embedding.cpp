#include <numeric>

#include "core/cpu/cpu_backend.h"
#include "core/cpu/parallel.h"

namespace tern {

using namespace cpu;

void CpuBackend::run(const Embedding& a) {
  const Index N = a.ids.elements(), D = a.table.shape()[1];
  const std::int32_t* ids = a.ids.data<std::int32_t>();
  // value(x, id): of an element of the row of that id
  const auto copy_rows = [&]<class R, class T, class Value>(R* y, const T* table, Value value) {
    for_chunks(N, 256, [&](Index, Index begin, Index end) {
      for (Index n = begin; n < end; ++n)
        std::transform(table + ids[n] * D, table + (ids[n] + 1) * D, y + n * D,
                       [&](T x) { return value(x, ids[n]); });
    });
  };
  visit_real(a.y.dtype(), [&]<class R>() {
    R* y = a.y.data<R>();
    const R* row_scale = data_or_null<R>(a.row_scale);
    if (a.table.dtype() == DType::i8)
      copy_rows(y, a.table.data<std::int8_t>(),
                [&](std::int8_t q, std::int32_t id) { return R(q) / row_scale[id]; });
    else if (a.table.dtype() == DType::bf16)
      copy_rows(y, a.table.data<BFloat16>(),
                [](BFloat16 x, std::int32_t) { return R(to_real(x)); });
    else
      copy_rows(y, a.table.data<R>(), [](R x, std::int32_t) { return x; });
  });
}

namespace {

constexpr Index kBand = 64;  // channels that a chunk owns

// numbers of rows in order of their ids, those of one id in order
std::vector<Index> rows_by_id(const std::int32_t* ids, Index N) {
  std::vector<Index> rows(std::size_t(N), 0);
  std::iota(rows.begin(), rows.end(), Index(0));
  std::stable_sort(rows.begin(), rows.end(), [&](Index a, Index b) { return ids[a] < ids[b]; });
  return rows;
}

}  // namespace

// The rows of one id are added in order of n to what is there, and the sum is stored once.
void CpuBackend::run(const EmbeddingBackward& a) {
  const Index N = a.ids.elements(), D = a.dtable.to.shape()[1];
  if (!a.dtable.add) fill(a.dtable.to, 0);
  const std::int32_t* ids = a.ids.data<std::int32_t>();
  const std::vector<Index> rows = rows_by_id(ids, N);
  const auto add_rows = [&]<class Stored, class R>(Stored* dtable, const R* dy) {
    for_chunks(D, kBand, [&](Index, Index first, Index last) {
      for (Index i = 0; i < N;) {
        const std::int32_t id = ids[rows[i]];
        R sum[kBand];
        for (Index d = first; d < last; ++d) sum[d - first] = to_real(dtable[id * D + d]);
        for (; i < N && ids[rows[i]] == id; ++i)
          for (Index d = first; d < last; ++d) sum[d - first] += dy[rows[i] * D + d];
        put(dtable + id * D + first, false, last - first, sum);
      }
    });
  };
  visit_real(a.dy.dtype(), [&]<class R>() {
    visit_stored<R>(a.dtable.to, [&](auto* dtable) { add_rows(dtable, a.dy.data<R>()); });
  });
}

}  // namespace tern
