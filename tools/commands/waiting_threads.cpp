#include "haze/tools/commands/waiting_threads.h"

#include <cstdlib>

#include <unistd.h>

namespace haze {

void shorten_waiting(char** arguments) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  ::setenv("GOMP_SPINCOUNT", "1000", 1);
  ::execv("/proc/self/exe", arguments);
}

}  // namespace haze
