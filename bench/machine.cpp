#include "haze/bench/machine.h"

#include <fmt/format.h>

namespace haze {

std::vector<Roof> roofs_of(const MachineLimits& limits) {
  return {{"first-level cache", limits.l1_gbytes},
          {"second-level cache", limits.l2_gbytes},
          {"memory", limits.copy_gbytes}};
}

std::vector<RooflinePoint> measure_points(const std::vector<KernelGroup>& groups, const TimerOptions& timer,
                                          const std::function<void(const std::string&)>& progress) {
  std::vector<RooflinePoint> points;
  for (const KernelGroup& group : groups) {
    for (const KernelRow& row : group.rows) {
      const std::string name = fmt::format("{} {}", group.title, row.name);
      progress(name);
      const KernelCase kernel = row.prepare();
      const double seconds = fastest_seconds({kernel.ours}, timer).front();
      points.push_back({name, row.operations / row.bytes, row.operations / seconds * 1e-9});
    }
  }
  return points;
}

}  // namespace haze
