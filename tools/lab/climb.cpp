#include "haze/tools/lab/climb.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>

#include "haze/engine/ops.h"
#include "haze/engine/simt/launch.h"

namespace haze {
namespace {

constexpr double kSectorBytes = 32;

/// While it lives, launches run checked kernels and are counted.
class CountingScope {
 public:
  explicit CountingScope(uint64_t blocks, bool following = false) {
    simt::set_checked(true);
    simt::set_counting(true);
    simt::set_sampled_blocks(blocks);
    simt::set_following(following);
  }
  ~CountingScope() {
    simt::set_following(false);
    simt::set_sampled_blocks(0);
    simt::set_counting(false);
    simt::set_checked(false);
  }
  CountingScope(const CountingScope&) = delete;
  CountingScope& operator=(const CountingScope&) = delete;
};

std::vector<simt::LaunchCounts> count(const Problem& problem, uint64_t blocks, bool following = false) {
  const CountingScope scope(blocks, following);
  problem.run();
  return simt::counted_launches();
}

/// The largest difference of an element, as a share of the largest element; infinite where one is not finite.
double largest_error(const Tensor& result, const Tensor& expected) {
  const auto got = cast(to(result, Device::cpu), Dtype::float64).to_vector<double>(),
             wanted = cast(expected, Dtype::float64).to_vector<double>();
  double difference = 0, largest = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!std::isfinite(got[i])) return std::numeric_limits<double>::infinity();
    difference = std::max(difference, std::abs(got[i] - wanted[i]));
    largest = std::max(largest, std::abs(wanted[i]));
  }
  return difference == 0 ? 0 : difference / largest;
}

/// Sums over some launches, each scaled to its whole grid.
struct Totals {
  double requests[2] = {}, sectors[2] = {};  // reads, writes
  double shared_requests = 0, passes = 0, conflicts = 0;

  explicit Totals(const std::vector<simt::LaunchCounts>& launches) {
    for (const simt::LaunchCounts& launch : launches) {
      for (const simt::LineCount& line : launch.lines) add(line, launch.scale());
    }
  }
  double all_sectors() const { return sectors[0] + sectors[1]; }

 private:
  void add(const simt::LineCount& line, double scale) {
    if (line.in_shared) {
      shared_requests += scale * static_cast<double>(line.requests);
      passes += scale * static_cast<double>(line.passes);
      conflicts += scale * static_cast<double>(line.conflicts);
    } else {
      requests[line.writes] += scale * static_cast<double>(line.requests);
      sectors[line.writes] += scale * static_cast<double>(line.sectors);
    }
  }
};

double ratio(double part, double whole) {
  return whole > 0 ? part / whole : 0;
}

KernelReport describe(const simt::LaunchCounts& launch, const Gpu& gpu, const CompiledKernels& compiled) {
  KernelReport report{.name = kernel_name(launch.function), .blocks = launch.shape.grid.count()};
  report.needs.threads = static_cast<unsigned>(launch.shape.block.count());
  report.needs.shared_bytes = static_cast<unsigned>(launch.shape.dynamic_shared_bytes);
  const auto found = compiled.find(report.name);
  if (found == compiled.end()) return report;
  report.compiled = found->second;
  report.needs.registers = found->second.registers;
  report.needs.shared_bytes += found->second.shared_bytes;
  report.occupancy = occupancy(gpu, report.needs);
  return report;
}

/// The multiprocessors that a launch's blocks can use.
double used_multiprocessors(const simt::LaunchCounts& launch, const Gpu& gpu) {
  return static_cast<double>(
      std::min<uint64_t>(launch.shape.grid.count(), static_cast<uint64_t>(gpu.multiprocessors)));
}

const simt::LaunchCounts& heaviest(const std::vector<simt::LaunchCounts>& launches) {
  return *std::max_element(launches.begin(), launches.end(), [](const auto& a, const auto& b) {
    return Totals({a}).all_sectors() < Totals({b}).all_sectors();
  });
}

TimeBound bound_of(const Problem& problem, const std::vector<simt::LaunchCounts>& launches, const Gpu& gpu,
                   Arithmetic arithmetic) {
  constexpr double kBytesAClock = 64;  // from the second-level cache to a multiprocessor
  const double peak = gpu.peak(arithmetic);
  TimeBound bound{.memory = problem.bytes / gpu.memory_bandwidth};
  for (const simt::LaunchCounts& launch : launches) {
    const Totals totals({launch});
    const double clocks = used_multiprocessors(launch, gpu) * gpu.clock;  // a second, of all that are used
    bound.cache += kSectorBytes * totals.all_sectors() / std::min(gpu.cache_bandwidth, kBytesAClock * clocks);
    bound.shared += totals.passes / clocks;
  }
  bound.ideal = std::max(bound.memory, problem.flops / peak);
  bound.arithmetic =
      problem.flops / (peak * used_multiprocessors(heaviest(launches), gpu) / gpu.multiprocessors);
  return bound;
}

}  // namespace

double TimeBound::seconds() const {
  return std::max({memory, cache, shared, arithmetic});
}

const char* TimeBound::limit() const {
  const std::array<std::pair<double, const char*>, 4> parts = {
      {{arithmetic, "arithmetic"}, {memory, "memory"}, {cache, "cache"}, {shared, "shared"}}};
  return std::max_element(parts.begin(), parts.end(),
                          [](const auto& a, const auto& b) { return a.first < b.first; })
      ->second;
}

namespace {

TimedRung time_problem(const ladder::Rung& rung, const Problem& problem, Device device) {
  using Clock = std::chrono::steady_clock;
  constexpr double kLeastSeconds = 0.1;
  fill(problem.result, 0);
  problem.run();
  TimedRung timed{.rung = rung, .flops = problem.flops, .bytes = problem.bytes};
  timed.right = largest_error(problem.result, problem.expected) <= problem.tolerance;
  for (int64_t launches = 1;; launches *= 2) {
    synchronize(device);
    const auto start = Clock::now();
    for (int64_t i = 0; i < launches; ++i) problem.run();
    synchronize(device);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    timed.seconds = seconds / static_cast<double>(launches);
    if (seconds >= kLeastSeconds) return timed;
  }
}

}  // namespace

TimedRung time_rung(const Ladder& ladder, unsigned rung, int64_t size, Device device) {
  return time_problem(ladder.rungs[rung], ladder.problem(rung, size, device), device);
}
TimedRung time_peer(const Ladder::Peer& peer, int64_t size, Device device) {
  return time_problem(peer.rung, peer.problem(size, device), device);
}

RungReport climb(const Ladder& ladder, unsigned rung, const Gpu& gpu, const ClimbOptions& options) {
  const Problem problem = ladder.problem(rung, options.size, Device::simt);
  RungReport report{.rung = ladder.rungs[rung]};
  if (options.compare) {
    fill(problem.result, 0);
    problem.run();
    report.largest_error = largest_error(problem.result, problem.expected);
    report.right = report.largest_error <= problem.tolerance;
  }
  report.launches = count(problem, options.blocks);
  const Totals totals(report.launches);
  report.read_sectors = ratio(totals.sectors[0], totals.requests[0]);
  report.written_sectors = ratio(totals.sectors[1], totals.requests[1]);
  report.conflicts = ratio(totals.conflicts, totals.shared_requests);
  report.moved_bytes = kSectorBytes * totals.all_sectors();
  report.needed_bytes = problem.bytes;
  report.flops = problem.flops;
  report.kernel = describe(heaviest(report.launches), gpu, *options.compiled);
  report.bound = bound_of(problem, report.launches, gpu, ladder.arithmetic(rung));
  return report;
}

FollowedRung follow(const Ladder& ladder, unsigned rung, int64_t size) {
  const Problem problem = ladder.problem(rung, size, Device::simt);
  problem.run();  // so that a launch finds what one before leaves
  return {problem.operands, count(problem, 0, true)};
}

}  // namespace haze
