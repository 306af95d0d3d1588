#include "haze/tools/lab/lab_report.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace haze {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kMicro = 1e6;

double ratio(double part, double whole) {
  return whole > 0 ? part / whole : 0;
}

// A figure that is 0 where there is nothing to count.
std::string figure(double value, int decimals = 1) {
  return value == 0 ? "-" : fmt::format("{:.{}f}", value, decimals);
}

std::string time_of(double seconds) {
  const double micro = seconds * kMicro;
  return micro < 1000 ? fmt::format("{:.2f} us", micro) : fmt::format("{:.2f} ms", micro / 1000);
}

template <typename F>
std::string compiled_figure(const RungReport& rung, F&& f) {
  return rung.kernel.compiled ? f(*rung.kernel.compiled) : std::string("-");
}

std::string row_of(const RungReport& rung, size_t width) {
  const auto registers = [](const CompiledKernel& k) { return fmt::format("{}", k.registers); };
  const auto spills = [](const CompiledKernel& k) {
    return fmt::format("{}", k.spill_stores + k.spill_loads);
  };
  const auto shared = [&](const CompiledKernel&) {
    return fmt::format("{}", rung.kernel.needs.shared_bytes);
  };
  const auto occupied = [&](const CompiledKernel&) {
    return fmt::format("{:.0f}%", 100 * rung.kernel.occupancy);
  };
  return fmt::format(
      "{:<{}}  {:>5}  {:>4}  {:>5}  {:>9}  {:>12}  {:>6}  {:>4}  {:>6}  {:>6}  {:>9}  {:>10}  "
      "{:<10}  {:>8}\n",
      rung.rung.name, width, rung.right ? *rung.right ? "yes" : "NO" : "-", figure(rung.read_sectors),
      figure(rung.written_sectors), figure(rung.conflicts, 2),
      fmt::format("{:.2f}", ratio(rung.moved_bytes, rung.needed_bytes)),
      figure(ratio(rung.flops, rung.moved_bytes)), compiled_figure(rung, registers),
      compiled_figure(rung, shared), compiled_figure(rung, spills), compiled_figure(rung, occupied),
      time_of(rung.bound.seconds()), rung.bound.limit(),
      fmt::format("{:.0f}%", 100 * rung.bound.share_of_limit()));
}

std::string kind_of(const simt::LineCount& line) {
  return fmt::format("{} {}", line.writes ? "writes" : "reads", line.in_shared ? "shared" : "global");
}

// "file:line in function" without the namespaces of the function's template arguments.
std::string short_line(const std::string& line) {
  const size_t in = line.find(" in ");
  return in == std::string::npos ? line : line.substr(0, in + 4) + kernel_name(line.substr(in + 4));
}

// The number after the colon in "file:line in function".
int64_t number_of(const simt::LineCount& line) {
  const size_t colon = line.line.find(':');
  return colon == std::string::npos ? 0 : std::atoll(line.line.c_str() + colon + 1);
}

}  // namespace

std::string ladder_list() {
  std::string text;
  for (const Ladder& ladder : ladders()) {
    text +=
        fmt::format("{}: {}\n  haze lab {} --size {}\n", ladder.name, ladder.what, ladder.name, ladder.size);
    size_t width = 0;
    for (const ladder::Rung& rung : ladder.rungs) width = std::max(width, std::string_view(rung.name).size());
    for (size_t i = 0; i < ladder.rungs.size(); ++i) {
      text += fmt::format("  {} {:<{}}  {}\n", i + 1, ladder.rungs[i].name, width, ladder.rungs[i].idea);
    }
  }
  return text;
}

std::string climb_table(const Ladder& ladder, const Gpu& gpu, const ClimbOptions& options,
                        const std::vector<RungReport>& rungs) {
  size_t width = 4;
  for (const RungReport& rung : rungs) width = std::max(width, std::string_view(rung.rung.name).size());
  std::string text = fmt::format("{}: {}; size {}\n\n", ladder.name, ladder.what, options.size);
  text += fmt::format(
      "{:<{}}  {:>5}  {:^11}  {:>9}  {:>12}  {:>6}  {:>4}  {:>6}  {:>6}  {:>9}  {:>10}  {:<10}  {:>8}\n", "",
      width, "", "sectors", "", "bytes moved", "flops", "", "shared", "spill", "", "time", "limited", "of");
  text += fmt::format(
      "{:<{}}  {:>5}  {:>4}  {:>5}  {:>9}  {:>12}  {:>6}  {:>4}  {:>6}  {:>6}  {:>9}  {:>10}  {:<10}  "
      "{:>8}\n",
      "rung", width, "right", "read", "write", "conflicts", "over needed", "a byte", "regs", "bytes", "bytes",
      "occupancy", "at least", "by", "limit");
  for (const RungReport& rung : rungs) text += row_of(rung, width);
  text += "\n";
  for (const RungReport& rung : rungs) {
    const uint64_t blocks = rung.kernel.blocks;
    if (blocks >= static_cast<uint64_t>(gpu.multiprocessors)) continue;
    text += fmt::format("{}: {} {}, so {} of {} multiprocessors have nothing to do\n", rung.rung.name, blocks,
                        blocks == 1 ? "block" : "blocks", static_cast<uint64_t>(gpu.multiprocessors) - blocks,
                        gpu.multiprocessors);
  }
  text += fmt::format(
      "sectors and conflicts: of a warp's request, counted on the emulated GPU in {}\n"
      "time: no measurement, but what the counts and the data sheet of {} allow (tools/lab/README.md)\n",
      options.blocks == 0 ? "all blocks" : fmt::format("at most {} blocks of a launch", options.blocks),
      gpu.title);
  return text;
}

std::string time_table(const Ladder& ladder, Device device, int64_t size,
                       const std::vector<TimedRung>& rungs) {
  constexpr double kGiga = 1e-9;
  size_t width = 4;
  for (const TimedRung& rung : rungs) width = std::max(width, std::string_view(rung.rung.name).size());
  std::string text = fmt::format("{}: {}; size {}, on {}\n\n{:<{}}  right        time   GFLOP/s      GB/s\n",
                                 ladder.name, ladder.what, size, name(device), "rung", width);
  for (const TimedRung& rung : rungs) {
    text += fmt::format("{:<{}}  {:>5}  {:>10}  {:>8}  {:>8}\n", rung.rung.name, width,
                        rung.right ? "yes" : "NO", time_of(rung.seconds),
                        figure(kGiga * rung.flops / rung.seconds), figure(kGiga * rung.bytes / rung.seconds));
  }
  text += "\nGB/s: of the operands, each moved once\n";
  return text;
}

Json climb_json(const Ladder& ladder, const Gpu& gpu, const ClimbOptions& options,
                const std::vector<RungReport>& rungs) {
  Json json{{"ladder", ladder.name}, {"size", options.size}, {"gpu", gpu.name}, {"rungs", Json::array()}};
  for (const RungReport& rung : rungs) {
    Json row{{"rung", rung.rung.name},
             {"sectors_read", rung.read_sectors},
             {"sectors_written", rung.written_sectors},
             {"conflicts", rung.conflicts},
             {"bytes_moved", rung.moved_bytes},
             {"bytes_needed", rung.needed_bytes},
             {"flops", rung.flops},
             {"kernel", rung.kernel.name}};
    if (rung.right) {
      row["right"] = *rung.right;
      row["error"] = rung.largest_error;
    }
    if (const auto& compiled = rung.kernel.compiled) {
      row["registers"] = compiled->registers;
      row["shared_bytes"] = rung.kernel.needs.shared_bytes;
      row["spill_bytes"] = compiled->spill_stores + compiled->spill_loads;
      row["occupancy"] = rung.kernel.occupancy;
    }
    row["microseconds"] = {{"at_least", rung.bound.seconds() * kMicro},
                           {"memory", rung.bound.memory * kMicro},
                           {"cache", rung.bound.cache * kMicro},
                           {"shared", rung.bound.shared * kMicro},
                           {"arithmetic", rung.bound.arithmetic * kMicro}};
    row["limited_by"] = rung.bound.limit();
    row["share_of_limit"] = rung.bound.share_of_limit();
    json["rungs"].push_back(std::move(row));
  }
  return json;
}

std::string line_table(const RungReport& rung) {
  std::string text = fmt::format("{}: {}\n\n{:>10}  {:>7}  {:>9}  {:<13}  {}\n", rung.rung.name,
                                 rung.rung.idea, "requests", "sectors", "conflicts", "access", "line");
  for (const simt::LaunchCounts& launch : rung.launches) {
    for (const simt::LineCount& line : launch.lines) {
      const auto of_request = [&](uint64_t count) {
        return static_cast<double>(count) / static_cast<double>(line.requests);
      };
      text += fmt::format("{:>10.0f}  {:>7}  {:>9}  {:<13}  {}\n",
                          static_cast<double>(line.requests) * launch.scale(),
                          line.in_shared ? "" : fmt::format("{:.1f}", of_request(line.sectors)),
                          line.in_shared ? fmt::format("{:.2f}", of_request(line.conflicts)) : "",
                          kind_of(line), short_line(line.line));
    }
  }
  return text;
}

const simt::LineCount& line_to_draw(const RungReport& rung, int64_t number) {
  const simt::LineCount* worst = nullptr;
  std::set<int64_t> numbers;
  for (const simt::LaunchCounts& launch : rung.launches) {
    for (const simt::LineCount& line : launch.lines) {
      numbers.insert(number_of(line));
      if (number != 0 && number_of(line) != number) continue;
      if (!worst || line.worst_units > worst->worst_units) worst = &line;
    }
  }
  if (!worst) {
    fail("the rung {} accesses no memory at line {}; it does at {}", rung.rung.name, number,
         fmt::join(numbers, ", "));
  }
  return *worst;
}

}  // namespace haze
