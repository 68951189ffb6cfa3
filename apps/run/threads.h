// The OpenMP threads of the program: how many, and how they wait for one another.
#pragma once

namespace tern {

// Called first in main, and once. The user's OMP_NUM_THREADS, OMP_WAIT_POLICY and GOMP_SPINCOUNT
// count; without them there is a thread for each usable core, and a thread without work sleeps
// instead of spinning. libgomp reads the latter when it is loaded: the program starts itself once
// more. Fewer threads, with a line on stderr, where the system does not give as many.
// Fault::usage if OMP_NUM_THREADS is no number of threads.
void set_up_threads(char** argv);

}  // namespace tern
