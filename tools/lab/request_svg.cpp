#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <fmt/format.h>

#include "haze/tools/lab/lab_report.h"
#include "haze/tools/run/svg.h"

namespace haze {
namespace {

// Pixels.
constexpr double kCell = 16, kLeft = 60, kTop = 84;
constexpr unsigned kLanes = 32, kBanks = 32;
constexpr uintptr_t kSector = 32, kWord = 4;

constexpr std::string_view kStyle =
    ".cell{fill:#0969da}\n.late{fill:#cf222e}\n"
    "@media (prefers-color-scheme:dark){\n.cell{fill:#58a6ff}\n.late{fill:#ff7b72}\n}\n";

/// A cell of the figure: a lane touches what the column stands for.
struct Touch {
  unsigned lane, column;
  bool late;  // it waits for other lanes, or moves a sector that none before it did
};

struct Grid {
  std::string columns;  // what they are
  std::vector<std::string> labels;
  std::vector<Touch> touches;
};

/// A column a bank. A lane is late where another word of its bank was there before.
Grid bank_grid(const simt::Request& request) {
  Grid grid{"bank of shared memory"};
  for (unsigned bank = 0; bank < kBanks; ++bank) grid.labels.push_back(fmt::format("{}", bank));
  const unsigned together = request.bytes >= 16 ? 8 : request.bytes == 8 ? 16 : kLanes;
  std::array<std::set<uintptr_t>, kBanks> words;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if (lane % together == 0) words.fill({});
    if (!(request.lanes >> lane & 1)) continue;
    const uintptr_t first = request.addresses[lane] / kWord,
                    last = (request.addresses[lane] + request.bytes - 1) / kWord;
    for (uintptr_t word = first; word <= last; ++word) {
      auto& bank = words[word % kBanks];
      bank.insert(word);
      grid.touches.push_back(
          {lane, static_cast<unsigned>(word % kBanks), bank.size() > 1 && *bank.begin() != word});
    }
  }
  return grid;
}

/// A column a sector that is touched, in the order of addresses, numbered from the first.
Grid sector_grid(const simt::Request& request) {
  Grid grid{"sector of 32 bytes of global memory, from the first that is touched"};
  std::map<uintptr_t, unsigned> columns;
  const auto each_sector = [&](auto&& f) {
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      if (!(request.lanes >> lane & 1)) continue;
      const uintptr_t first = request.addresses[lane] / kSector,
                      last = (request.addresses[lane] + request.bytes - 1) / kSector;
      for (uintptr_t sector = first; sector <= last; ++sector) f(lane, sector);
    }
  };
  each_sector([&](unsigned, uintptr_t sector) { columns[sector] = 0; });
  for (auto& [sector, column] : columns) {
    column = static_cast<unsigned>(grid.labels.size());
    grid.labels.push_back(fmt::format("{}", sector - columns.begin()->first));
  }
  each_sector([&](unsigned lane, uintptr_t sector) {
    grid.touches.push_back({lane, columns[sector], false});
  });
  return grid;
}

}  // namespace

std::string request_svg(const RungReport& rung, const simt::LineCount& line) {
  const Grid grid = line.in_shared ? bank_grid(line.worst) : sector_grid(line.worst);
  const auto columns = static_cast<double>(std::max<size_t>(grid.labels.size(), 32));
  const double right = kLeft + columns * kCell, bottom = kTop + kLanes * kCell;
  std::string svg = begin_svg(static_cast<int>(right + 28), static_cast<int>(bottom + 28),
                              fmt::format("{} of {}: {}", rung.rung.name, line.line, grid.columns),
                              fmt::format("{}{}", kFigureStyle, kStyle));
  svg += svg_text(
      "title", kLeft, 28, "start",
      fmt::format("{} {} memory at {}", rung.rung.name, line.writes ? "writes" : "reads", line.line));
  const std::string cost = line.in_shared ? fmt::format("{} passes over the banks", line.worst_units)
                                          : fmt::format("{} sectors", line.worst_units);
  svg += svg_text("tick", kLeft, 48, "start",
                  fmt::format("a request of one warp: {}; across: {}", cost, grid.columns));
  for (size_t i = 0; i < grid.labels.size(); ++i) {
    const double x = kLeft + static_cast<double>(i) * kCell;
    svg += svg_line("grid", x, kTop, x, bottom);
    if (grid.labels.size() <= 16 || i % 4 == 0)
      svg += svg_text("tick", x + kCell / 2, kTop - 6, "middle", grid.labels[i]);
  }
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    const double y = kTop + lane * kCell;
    svg += svg_line("grid", kLeft, y, right, y);
    if (lane % 4 == 0) svg += svg_text("tick", kLeft - 8, y + kCell - 4, "end", fmt::format("lane {}", lane));
  }
  for (const Touch& touch : grid.touches) {
    svg += fmt::format("<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>\n",
                       touch.late ? "late" : "cell", kLeft + touch.column * kCell + 1,
                       kTop + touch.lane * kCell + 1, kCell - 2, kCell - 2);
  }
  return svg + "</svg>\n";
}

}  // namespace haze
