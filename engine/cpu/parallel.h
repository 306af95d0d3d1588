#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>

#include <omp.h>

namespace haze {

/// Number of threads that kernels use; at the start, as many as the process may run on (OMP_NUM_THREADS is
/// honoured).
int threads();
/// Throws Error where count is not in 1..1024.
void set_threads(int count);

/// Keeps the first exception of a parallel region, which it must not leave by itself.
class ExceptionKeeper {
 public:
  /// Calls f, task number `task`.
  template <typename F>
  void run(int64_t task, F&& f) {
    try {
      f();
    } catch (...) {
#pragma omp critical(haze_exception)
      if (!thrown_ || task < task_) {
        thrown_ = std::current_exception();
        task_ = task;
      }
    }
  }
  void rethrow() const {
    if (thrown_) std::rethrow_exception(thrown_);
  }

 private:
  std::exception_ptr thrown_;
  int64_t task_ = 0;
};

/// Calls body(first, last) for [0, count) cut in tasks of `grain`, on the engine's threads. The cut depends
/// on `count` and `grain` alone. So a body whose result depends on its task only gives the same bits for
/// every number of threads. If the body throws, the exception of the first of all tasks
/// leaves this function, whatever the number of threads.
template <typename Body>
void parallel_for(int64_t count, int64_t grain, Body&& body) {
  if (count <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  const int64_t tasks = (count + grain - 1) / grain;
  if (tasks == 1 || threads() == 1 || omp_in_parallel()) {
    for (int64_t task = 0; task < tasks; ++task) body(task * grain, std::min(count, (task + 1) * grain));
    return;
  }
  ExceptionKeeper keeper;
#pragma omp parallel for schedule(static) num_threads(threads())
  for (int64_t task = 0; task < tasks; ++task) {
    keeper.run(task, [&] { body(task * grain, std::min(count, (task + 1) * grain)); });
  }
  keeper.rethrow();
}

/// As parallel_for, for tasks of uneven cost: a thread takes the next task when it is free. The calling
/// thread does them all if they are not `worth_sharing`.
template <typename Body>
void parallel_for_uneven(int64_t tasks, bool worth_sharing, Body&& body) {
  if (tasks <= 1 || !worth_sharing || threads() == 1 || omp_in_parallel()) {
    for (int64_t task = 0; task < tasks; ++task) body(task);
    return;
  }
  ExceptionKeeper keeper;
#pragma omp parallel for schedule(dynamic) num_threads(threads())
  for (int64_t task = 0; task < tasks; ++task) {
    keeper.run(task, [&] { body(task); });
  }
  keeper.rethrow();
}

}  // namespace haze
