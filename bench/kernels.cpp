#include "haze/bench/kernels.h"

#include <regex>

#include <fmt/format.h>

#include "haze/engine/error.h"

namespace haze {
namespace {

Comparison compare(const KernelGroup& group, const KernelRow& row, const TimerOptions& timer,
                   const MachineLimits& limits) {
  const KernelCase kernel = row.prepare();
  const std::vector<double> seconds = fastest_seconds({kernel.ours, kernel.peer}, timer);
  const double work = group.by_memory ? row.bytes : row.operations;
  const double peer_work = row.peer_bytes > 0 ? row.peer_bytes : work;
  Comparison comparison;
  comparison.name = row.name;
  comparison.ours = work / seconds[0] * 1e-9;
  comparison.peer = peer_work / seconds[1] * 1e-9;
  comparison.unit = group.by_memory ? "GB/s" : "GFLOP/s";
  const double peak = group.bfloat16 ? limits.bfloat16_gflops : limits.fma_gflops;
  comparison.share_of_peak = comparison.ours / (group.by_memory ? limits.copy_gbytes : peak);
  return comparison;
}

}  // namespace

std::vector<KernelGroup> filtered(std::vector<KernelGroup> groups, const std::string& filter) {
  const std::regex pattern(filter);
  std::vector<KernelGroup> kept;
  for (KernelGroup& group : groups) {
    std::erase_if(group.rows, [&](const KernelRow& row) {
      return !std::regex_search(fmt::format("{} {}", group.title, row.name), pattern);
    });
    if (!group.rows.empty()) kept.push_back(std::move(group));
  }
  if (kept.empty()) fail("--filter {}: no row has such a name", filter);
  return kept;
}

std::vector<ComparisonGroup> compare_kernels(const std::vector<KernelGroup>& groups,
                                             const TimerOptions& timer, const MachineLimits& limits,
                                             const std::function<void(const std::string&)>& progress) {
  std::vector<ComparisonGroup> comparisons;
  for (const KernelGroup& group : groups) {
    comparisons.push_back({group.title, group.peer, {}});
    for (const KernelRow& row : group.rows) {
      progress(fmt::format("{} {}", group.title, row.name));
      comparisons.back().rows.push_back(compare(group, row, timer, limits));
    }
  }
  return comparisons;
}

}  // namespace haze
