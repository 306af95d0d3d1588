#include "haze/bench/timer.h"

#include <algorithm>
#include <limits>
#include <string>

#include <benchmark/benchmark.h>

namespace haze {
namespace {

/// Keeps the fastest repetition of each function. A benchmark's name is its function's index.
class FastestReporter : public benchmark::BenchmarkReporter {
 public:
  explicit FastestReporter(size_t functions) : seconds_(functions, std::numeric_limits<double>::infinity()) {}

  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration) continue;
      double& fastest = seconds_[std::stoul(run.run_name.function_name)];
      fastest = std::min(fastest, run.real_accumulated_time / static_cast<double>(run.iterations));
    }
  }
  const std::vector<double>& seconds() const { return seconds_; }

 private:
  std::vector<double> seconds_;
};

void initialize_once() {
  static const bool initialized = [] {
    std::string program = "haze", interleaving = "--benchmark_enable_random_interleaving=true";
    char* arguments[] = {program.data(), interleaving.data(), nullptr};
    int count = 2;
    benchmark::Initialize(&count, arguments);
    return true;
  }();
  static_cast<void>(initialized);
}

}  // namespace

std::vector<double> fastest_seconds(const std::vector<std::function<void()>>& functions,
                                    const TimerOptions& options) {
  initialize_once();
  for (size_t i = 0; i < functions.size(); ++i) {
    const std::function<void()>& function = functions[i];
    function();
    benchmark::RegisterBenchmark(std::to_string(i).c_str(),
                                 [&function](benchmark::State& state) {
                                   for ([[maybe_unused]] auto _ : state) function();
                                 })
        ->UseRealTime()
        ->MinTime(options.seconds)
        ->Repetitions(options.repetitions);
  }
  FastestReporter reporter(functions.size());
  benchmark::RunSpecifiedBenchmarks(&reporter);
  benchmark::ClearRegisteredBenchmarks();
  return reporter.seconds();
}

}  // namespace haze
