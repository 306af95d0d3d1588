#include "haze/engine/cpu/parallel.h"

#include <atomic>

#include "haze/engine/error.h"

namespace haze {
namespace {

std::atomic<int>& thread_count() {
  static std::atomic<int> count = omp_get_max_threads();
  return count;
}

}  // namespace

int threads() {
  return thread_count();
}

void set_threads(int count) {
  constexpr int kMostThreads = 1024;
  if (count < 1 || count > kMostThreads) fail("threads: {} is not in 1..{}", count, kMostThreads);
  thread_count() = count;
}

}  // namespace haze
