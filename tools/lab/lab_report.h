#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "haze/tools/lab/climb.h"

namespace haze {

/// The ladders with their rungs' ideas.
std::string ladder_list();

/// A line a rung. `blocks` is that of ClimbOptions.
std::string climb_table(const Ladder& ladder, const Gpu& gpu, const ClimbOptions& options,
                        const std::vector<RungReport>& rungs);
nlohmann::ordered_json climb_json(const Ladder& ladder, const Gpu& gpu, const ClimbOptions& options,
                                  const std::vector<RungReport>& rungs);

/// A line a rung that was timed.
std::string time_table(const Ladder& ladder, Device device, int64_t size,
                       const std::vector<TimedRung>& rungs);

/// A line for each source line of a rung that reads or writes memory.
std::string line_table(const RungReport& rung);

/// The line that --svg draws: number `line` of its file, 0 for that whose requests need most sectors or
/// passes. Throws Error, naming those there are, where the rung accesses no memory at that line.
const simt::LineCount& line_to_draw(const RungReport& rung, int64_t line);
/// The lanes of the line's worst request by the sectors of global memory, or the banks of shared memory, that
/// they touch: an SVG figure.
std::string request_svg(const RungReport& rung, const simt::LineCount& line);

/// A warp's steps, a line each: the source line, the access, and the numbers of the elements that its lanes
/// touch.
std::vector<std::string> step_lines(const FollowedRung& followed);

}  // namespace haze
