#include "haze/tools/lab/gpu.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "haze/engine/error.h"

namespace haze {
namespace {

constexpr double kTera = 1e12, kGiga = 1e9;
constexpr unsigned kWarp = 32, kRegisterUnit = 256, kRegisterParts = 4, kSharedUnit = 128,
                   kSystemShared = 1024;

unsigned round_up(unsigned value, unsigned unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace

double Gpu::peak(Arithmetic arithmetic) const {
  switch (arithmetic) {
    case Arithmetic::float32:
      return float32;
    case Arithmetic::tf32:
      return tf32;
    case Arithmetic::bfloat16:
      return bfloat16;
  }
  return float32;
}

// NVIDIA's data sheets and white papers: A100 (SXM, 80 GB), H100 and H200 (SXM), Ada (RTX 4090). The
// second-level cache of A100 reads 5120 bytes a clock by its white paper. NVIDIA gives no figure for the
// others: H100's is taken to be the same a clock, RTX 4090's is what Chips and Cheese measured (2022).
const std::vector<Gpu>& gpus() {
  static const std::vector<Gpu> all = {
      {.name = "a100",
       .title = "A100 SXM 80 GB",
       .multiprocessors = 108,
       .clock = 1.41 * kGiga,
       .float32 = 19.5 * kTera,
       .tf32 = 156 * kTera,
       .bfloat16 = 312 * kTera,
       .memory_bandwidth = 2039 * kGiga,
       .cache_bandwidth = 5120 * 1.41 * kGiga,
       .memory_bytes = 80 * kGiga,
       .threads = 2048,
       .blocks = 32,
       .registers = 65536,
       .shared_bytes = 164 << 10},
      {.name = "h100",
       .title = "H100 SXM 80 GB",
       .multiprocessors = 132,
       .clock = 1.83 * kGiga,
       .float32 = 66.9 * kTera,
       .tf32 = 494.7 * kTera,
       .bfloat16 = 989.4 * kTera,
       .memory_bandwidth = 3350 * kGiga,
       .cache_bandwidth = 5120 * 1.83 * kGiga,
       .memory_bytes = 80 * kGiga,
       .threads = 2048,
       .blocks = 32,
       .registers = 65536,
       .shared_bytes = 228 << 10},
      {.name = "h200",
       .title = "H200 SXM 141 GB",
       .multiprocessors = 132,
       .clock = 1.83 * kGiga,
       .float32 = 66.9 * kTera,
       .tf32 = 494.7 * kTera,
       .bfloat16 = 989.4 * kTera,
       .memory_bandwidth = 4800 * kGiga,
       .cache_bandwidth = 5120 * 1.83 * kGiga,
       .memory_bytes = 141 * kGiga,
       .threads = 2048,
       .blocks = 32,
       .registers = 65536,
       .shared_bytes = 228 << 10},
      {.name = "rtx4090",
       .title = "GeForce RTX 4090",
       .multiprocessors = 128,
       .clock = 2.52 * kGiga,
       .float32 = 82.6 * kTera,
       .tf32 = 82.6 * kTera,
       .bfloat16 = 165.2 * kTera,
       .memory_bandwidth = 1008 * kGiga,
       .cache_bandwidth = 5000 * kGiga,
       .memory_bytes = 24 * kGiga,
       .threads = 1536,
       .blocks = 24,
       .registers = 65536,
       .shared_bytes = 100 << 10},
  };
  return all;
}

const Gpu& gpu_named(std::string_view name) {
  std::vector<std::string> names;
  for (const Gpu& gpu : gpus()) {
    if (gpu.name == name) return gpu;
    names.push_back(gpu.name);
  }
  fail("there is no GPU '{}' here; those that can be chosen are {}", name, fmt::join(names, ", "));
}

double occupancy(const Gpu& gpu, const BlockNeeds& needs) {
  const unsigned warps = (needs.threads + kWarp - 1) / kWarp;
  unsigned blocks = std::min(gpu.blocks, gpu.threads / kWarp / warps);
  if (needs.registers > 0) {
    const unsigned of_warp = round_up(needs.registers * kWarp, kRegisterUnit);
    blocks = std::min(blocks, gpu.registers / kRegisterParts / of_warp * kRegisterParts / warps);
  }
  const unsigned shared = round_up(needs.shared_bytes, kSharedUnit) + kSystemShared;
  blocks = std::min(blocks, gpu.shared_bytes / shared);
  return static_cast<double>(blocks * warps * kWarp) / gpu.threads;
}

}  // namespace haze
