#pragma once

namespace haze {

/// Starts the program anew, once, with GOMP_SPINCOUNT=1000, unless the environment says how threads wait
/// (OMP_WAIT_POLICY, GOMP_SPINCOUNT). By default a thread of GCC's OpenMP that has nothing to do looks for
/// work some 300,000 times before it sleeps. Where another process wants the processor, the threads that have
/// work wait for it meanwhile, and two are slower than one. Only the environment at the start can change
/// that. Returns where nothing is to be done, and where the system does not let the program start itself.
void shorten_waiting(char** arguments);

}  // namespace haze
