// Parallel loops whose chunks depend on the size of the work alone, never on the number of threads:
// what a chunk sums has the same bits on every machine shape.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "core/bfloat16.h"
#include "core/cpu/thread_pool.h"
#include "core/tensor.h"

namespace tern::cpu {

inline constexpr Index kReductionChunks = 32;  // partial sums of a reduction over rows
inline constexpr Index kTeamWork = 1 << 13;    // elements below which starting threads costs more

// body(chunk, begin, end) for [0, n) cut into pieces of `size`; body must not throw
template <class Body>
void for_chunks(Index n, Index size, Body&& body) {
  const Index chunks = (n + size - 1) / size;
  const auto one = [&](Index c) { body(c, c * size, std::min(n, (c + 1) * size)); };
  run_loop(chunks, LoopBody(one));
}

// body(i) for i in [0, n), each about `elements` of work: too little stays on this thread
template <class Body>
void for_tasks(Index n, Index elements, Body&& body) {
  if (n * elements > kTeamWork) return run_loop(n, LoopBody(body));
  for (Index i = 0; i < n; ++i) body(i);
}

// at most kReductionChunks pieces
inline Index reduction_chunk(Index n) {
  return std::max<Index>(16, (n + kReductionChunks - 1) / kReductionChunks);
}

// Scratch memory of the calling thread for one purpose, kept between calls. Aligned to a cache
// line, since where Eigen cuts a loop into registers depends on the address it writes to.
template <class R, int Purpose>
R* scratch(Index elements) {
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  thread_local std::vector<Line> memory;
  const std::size_t lines = (std::size_t(elements) * sizeof(R) + sizeof(Line) - 1) / sizeof(Line);
  if (memory.size() < lines) memory.resize(lines);
  return reinterpret_cast<R*>(memory.data());
}

// Runs body.template operator()<float>() or <double>().
template <class Body>
void visit_real(DType dtype, Body&& body) {
  if (dtype == DType::f32) return body.template operator()<float>();
  if (dtype == DType::f64) return body.template operator()<double>();
  check(false, "[cpu] expected f32 or f64, got ", dtype);
}

// Typed pointer, or null for an empty tensor: optional fields of the argument structs.
template <class T>
T* data_or_null(const Tensor& t) {
  return t ? t.data<T>() : nullptr;
}

// Runs body with a pointer to the gradient of a parameter, as it is stored beside what is computed
// in R: in R, or in bf16 beside f32.
template <class R, class Body>
void visit_stored(const Tensor& gradient, Body&& body) {
  if constexpr (std::is_same_v<R, float>)
    if (gradient.dtype() == DType::bf16) return body(gradient.data<BFloat16>());
  body(gradient.data<R>());
}

// to[i] = x[i] or += x[i], rounded once if it is stored in less
template <class To, class R>
void put(To* to, bool add, Index n, const R* x) {
  if (add)
    for (Index i = 0; i < n; ++i) to[i] = to_stored<To>(to_real(to[i]) + x[i]);
  else
    for (Index i = 0; i < n; ++i) to[i] = to_stored<To>(x[i]);
}

}  // namespace tern::cpu
