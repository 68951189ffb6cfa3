#include "core/cpu/cpu_backend.h"
#include "core/cpu/parallel.h"

namespace tern {

using namespace cpu;

void CpuBackend::run(const Embedding& a) {
  visit_real(a.y.dtype(), [&]<class R>() {
    const Index N = a.ids.elements(), D = a.table.shape()[1];
    R* y = a.y.data<R>();
    const R* table = a.table.data<R>();
    const std::int32_t* ids = a.ids.data<std::int32_t>();
    for_chunks(N, 256, [&](Index, Index begin, Index end) {
      for (Index n = begin; n < end; ++n) std::copy_n(table + ids[n] * D, D, y + n * D);
    });
  });
}

// A chunk owns a band of channels, so the rows of one id are added in order of n.
void CpuBackend::run(const EmbeddingBackward& a) {
  visit_real(a.dy.dtype(), [&]<class R>() {
    const Index N = a.ids.elements(), D = a.dtable.to.shape()[1];
    if (!a.dtable.add) fill(a.dtable.to, 0);
    R* dtable = a.dtable.to.data<R>();
    const R* dy = a.dy.data<R>();
    const std::int32_t* ids = a.ids.data<std::int32_t>();
    for_chunks(D, 64, [&](Index, Index begin, Index end) {
      for (Index n = 0; n < N; ++n)
        for (Index d = begin; d < end; ++d) dtable[ids[n] * D + d] += dy[n * D + d];
    });
  });
}

}  // namespace tern
