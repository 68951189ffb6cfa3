
#include "core/cpu/cpu_backend.h"
#include "core/cpu/functions.h"
#include "core/cpu/rows.h"
#include "core/sample_row.h"

namespace tern {

using namespace cpu;

void CpuBackend::run(const CrossEntropy& a) {
  visit_real(a.logits.dtype(), [&]<class R>() {
    const Index N = a.logits.shape()[0], V = a.logits.shape()[1];
    R *losses = a.losses.data<R>(), *logits = a.logits.data<R>();
    const std::int32_t* targets = a.targets.data<std::int32_t>();
    const R weight = *a.weight.data<R>();
    for_chunks(N, 8, [&](Index, Index begin, Index end) {
      R* e = scratch<R, 0>(V);
      for (Index n = begin; n < end; ++n) {
        R* row = logits + n * V;
        if (targets[n] == kIgnoreIndex) {
          losses[n] = 0;
          if (a.gradient) std::fill_n(row, V, R(0));
          continue;
        }
        const R top = largest(row, V), target = row[targets[n]];
        exp_row(e, row, V, top);
        const R sum = total(e, V);
        losses[n] = std::log(sum) - (target - top);
        if (!a.gradient) continue;
        const R factor = weight / sum;
        for (Index i = 0; i < V; ++i) row[i] = e[i] * factor;
        row[targets[n]] -= weight;
      }
    });
  });
}

void CpuBackend::run(const Argmax& a) {
  visit_real(a.x.dtype(), [&]<class R>() {
    const Index N = a.x.shape()[0], V = a.x.shape()[1];
    const R* x = a.x.data<R>();
    std::int32_t* ids = a.ids.data<std::int32_t>();
    for_chunks(N, 8, [&](Index, Index begin, Index end) {
      for (Index n = begin; n < end; ++n) {
        const R* row = x + n * V;
        int odd = 0;  // NaN
        for (Index i = 0; i < V; ++i) odd |= int(row[i] != row[i]);
        const R top = odd ? R(0) : largest(row, V);
        ids[n] = std::int32_t(
            std::find_if(row, row + V,
                         [&](R value) { return odd ? value != value : value == top; }) -
            row);
      }
    });
  });
}

void CpuBackend::run(const SampleToken& a) {
  visit_real(a.logits.dtype(), [&]<class R>() {
    const Index N = a.logits.shape()[0], V = a.logits.shape()[1];
    check(V <= kMostSampled, "[sample_token] expected at most ", kMostSampled,
          " tokens, logits is ", a.logits);
    const R* logits = a.logits.data<R>();
    const double* uniforms = a.uniforms.data<double>();
    std::int32_t* ids = a.ids.data<std::int32_t>();
    for_tasks(N, 8 * V, [&](Index n) {
      ids[n] = sample_row(std::span(logits + n * V, std::size_t(V)), uniforms[n], a);
    });
  });
}

void CpuBackend::run(const WeightedLoss& a) {
  visit_real(a.losses.dtype(), [&]<class R>() {
    const R* losses = a.losses.data<R>();
    double sum = 0;
    for (Index n = 0; n < a.losses.elements(); ++n) sum += double(losses[n]);
    *a.loss.data<double>() = sum * double(*a.weight.data<R>());
  });
}

}  // namespace tern
