#include "haze/bench/resident_memory.h"

#include <fstream>
#include <string>

#include "haze/engine/error.h"

namespace haze {

void reset_peak_resident() {
  // proc(5): 5 sets the peak to what is resident now.
  std::ofstream("/proc/self/clear_refs") << "5";
}

int64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  int64_t kibibytes = 0;
  for (std::string word; status >> word;) {
    if (word == "VmHWM:" && status >> kibibytes) return kibibytes * 1024;
  }
  fail("/proc/self/status does not say how much memory this process has taken");
}

}  // namespace haze
