// The threads that CPU kernels share. A loop's indices are dealt out in consecutive parts, one for
// each thread; a thread that has finished its part takes indices from the ends of other parts. So a
// thread that sleeps, or that the system runs late, holds up nothing that it has not begun.
#pragma once

#include <memory>

#include "core/shape.h"

namespace tern::cpu {

// body(i), called through pointers: nothing is copied or allocated. Must not throw.
class LoopBody {
 public:
  template <class Body>
  explicit LoopBody(Body& body)
      : body_(std::addressof(body)),
        call_([](const void* b, Index i) { (*static_cast<Body*>(const_cast<void*>(b)))(i); }) {}
  void operator()(Index i) const { call_(body_, i); }

 private:
  const void* body_;
  void (*call_)(const void*, Index);
};

// body(i) once for each i in [0, n), on this thread and others, omp_get_max_threads() together.
// All is done when it returns. On this thread alone: inside of another loop, of this pool or of
// OpenMP; while another thread runs a loop; and for a while after the others have cost more time
// than they saved, as beside other busy processes.
void run_loop(Index n, LoopBody body);

}  // namespace tern::cpu
