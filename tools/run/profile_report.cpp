#include "haze/tools/run/profile_report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "haze/tools/run/roofline.h"

namespace haze {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kGiga = 1e9, kMilli = 1e3;

// Which extents of an operation come back in most steps. The others, as the number of tokens in a batch,
// would give each step rows of its own.
class SteadyExtents {
 public:
  explicit SteadyExtents(const Profile& profile) : all_steps_(profile.steps.size()) {
    for (const ProfileCall& call : profile.calls) {
      for (int axis = 0; axis < call.extents.rank(); ++axis) steps_[key(call, axis)].insert(call.step);
    }
  }

  bool operator()(const ProfileCall& call, int axis) const {
    return 2 * steps_.at(key(call, axis)).size() > all_steps_;
  }

 private:
  using Key = std::tuple<std::string, std::string, int, int64_t>;
  static Key key(const ProfileCall& call, int axis) {
    return {call.phase, call.operation, axis, call.extents[axis]};
  }

  std::map<Key, std::set<int64_t>> steps_;
  size_t all_steps_;
};

// The calls that make one row.
struct Group {
  const ProfileCall* first;
  double calls = 0, seconds = 0, flops = 0, bytes = 0;
  std::vector<double> extents = {};  // sums
};

constexpr int64_t kChanging = -1;

std::string name_of(const Group& group, const Shape& pattern) {
  std::vector<std::string> extents;
  for (int axis = 0; axis < pattern.rank(); ++axis) {
    const auto mean = std::llround(group.extents[static_cast<size_t>(axis)] / group.calls);
    extents.push_back(fmt::format("{}{}", pattern[axis] == kChanging ? "~" : "", mean));
  }
  const std::string& operation = group.first->operation;
  return extents.empty() ? operation : fmt::format("{} {}", operation, fmt::join(extents, "x"));
}

// By what the machine leaves of the time of one call.
void set_limit(ProfileRow& row, const Group& group, double steps, const MachineLimits& limits) {
  const double peak = group.first->bfloat16 ? limits.bfloat16_gflops : limits.fma_gflops;
  // Operands as small as the second-level caches may still be there.
  const auto caches = static_cast<double>(limits.threads * limits.l2_bytes);
  const double bandwidth = group.bytes / group.calls <= caches ? limits.l2_gbytes : limits.copy_gbytes;
  const double arithmetic = group.flops / (peak * kGiga), memory = group.bytes / (bandwidth * kGiga);
  row.limit_seconds = std::max(arithmetic, memory) / steps;
  row.bound_by_arithmetic = arithmetic > memory;
}

ProfileRow row_of(const Group& group, const Shape& pattern, double steps,
                  const std::optional<MachineLimits>& limits) {
  ProfileRow row{.operation = name_of(group, pattern),
                 .phase = group.first->phase,
                 .calls = group.calls / steps,
                 .seconds = group.seconds / steps,
                 .flops = group.flops / steps,
                 .bytes = group.bytes / steps,
                 .bound_by_arithmetic = group.flops > 0};
  if (limits) set_limit(row, group, steps, *limits);
  return row;
}

std::vector<ProfileRow> rows_of(const Profile& profile, const std::optional<MachineLimits>& limits) {
  const SteadyExtents steady(profile);
  std::map<std::tuple<std::string, std::string, std::vector<int64_t>>, std::pair<Group, Shape>> groups;
  for (const ProfileCall& call : profile.calls) {
    Shape pattern = call.extents;
    for (int axis = 0; axis < pattern.rank(); ++axis) {
      if (!steady(call, axis)) pattern[axis] = kChanging;
    }
    auto& [group, unused] =
        groups
            .try_emplace({call.phase, call.operation, std::vector<int64_t>(pattern.begin(), pattern.end())},
                         Group{&call}, pattern)
            .first->second;
    ++group.calls;
    group.seconds += call.seconds;
    group.flops += call.flops;
    group.bytes += call.bytes;
    group.extents.resize(static_cast<size_t>(pattern.rank()));
    for (int axis = 0; axis < pattern.rank(); ++axis) {
      group.extents[static_cast<size_t>(axis)] += static_cast<double>(call.extents[axis]);
    }
  }
  std::vector<ProfileRow> rows;
  for (const auto& [key, entry] : groups) {
    rows.push_back(row_of(entry.first, entry.second, static_cast<double>(profile.steps.size()), limits));
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const ProfileRow& a, const ProfileRow& b) { return a.seconds > b.seconds; });
  return rows;
}

std::vector<ProfilePhaseTime> phases_of(const Profile& profile) {
  const auto steps = static_cast<double>(profile.steps.size());
  std::vector<ProfilePhaseTime> phases;
  const auto phase = [&](const std::string& name) {
    const auto found = std::find_if(phases.begin(), phases.end(),
                                    [&](const ProfilePhaseTime& time) { return time.phase == name; });
    return found == phases.end() ? phases.insert(phases.end(), {name}) : found;
  };
  for (const ProfileSpan& span : profile.phases) {
    phase(span.name)->seconds += span.seconds / steps;
    phase(span.name)->outside_seconds += span.seconds / steps;
  }
  for (const ProfileCall& call : profile.calls) {
    if (*call.phase) phase(call.phase)->outside_seconds -= call.seconds / steps;
  }
  return phases;
}

double share(double part, double whole) {
  return whole > 0 ? part / whole : 0;
}

std::string rate_of(const ProfileRow& row) {
  if (row.flops + row.bytes == 0) return "";
  return row.bound_by_arithmetic ? fmt::format("{:.1f} GFLOP/s", share(row.flops, row.seconds) / kGiga)
                                 : fmt::format("{:.1f} GB/s", share(row.bytes, row.seconds) / kGiga);
}

std::string table_line(const ProfileRow& row, const ProfileReport& report, size_t width) {
  const std::string of_limit =
      report.limits ? fmt::format("  {:>7.0f}%", 100 * share(row.limit_seconds, row.seconds)) : "";
  return fmt::format("{:<{}}  {:<9}  {:>7.1f}  {:>8.3f}  {:>5.1f}%  {:>14}{}\n", row.operation, width,
                     row.phase, row.calls, row.seconds * kMilli,
                     100 * share(row.seconds, report.step_seconds), rate_of(row), of_limit);
}

std::string limits_line(const MachineLimits& limits) {
  return fmt::format(
      "\nthe limit, on {}: {:.1f} GFLOP/s of float32 and {:.1f} of bfloat16 multiply-adds, or {:.1f} GB/s "
      "copied "
      "in memory and {:.1f} in the second-level caches, whichever takes longer\n(more than 100%: from the "
      "first-level caches, which copy {:.1f} GB/s, or because something else ran while the limits were "
      "measured)\n",
      number_of_threads(limits.threads), limits.fma_gflops, limits.bfloat16_gflops, limits.copy_gbytes,
      limits.l2_gbytes, limits.l1_gbytes);
}

Json json_of(const MachineLimits& limits) {
  return {{"threads", limits.threads},
          {"fma_gflops", limits.fma_gflops},
          {"bfloat16_gflops", limits.bfloat16_gflops},
          {"copy_gbytes", limits.copy_gbytes},
          {"l1_gbytes", limits.l1_gbytes},
          {"l2_gbytes", limits.l2_gbytes}};
}

Json json_of(const ProfileRow& row, const ProfileReport& report) {
  Json json{{"operation", row.operation},
            {"phase", row.phase},
            {"calls", row.calls},
            {"ms", row.seconds * kMilli},
            {"share", share(row.seconds, report.step_seconds)},
            {"gflops", share(row.flops, row.seconds) / kGiga},
            {"gbytes", share(row.bytes, row.seconds) / kGiga}};
  if (report.limits) {
    json["limit"] = row.bound_by_arithmetic ? "arithmetic" : "memory";
    json["share_of_limit"] = share(row.limit_seconds, row.seconds);
  }
  return json;
}

constexpr int kProcess = 1;  // of a trace

Json trace_event(const std::string& name, const char* category, double start, double seconds,
                 Json arguments) {
  constexpr double kMicro = 1e6;
  return {{"name", name},
          {"cat", category},
          {"ph", "X"},
          {"ts", start * kMicro},
          {"dur", seconds * kMicro},
          {"pid", kProcess},
          {"tid", 1},
          {"args", std::move(arguments)}};
}

}  // namespace

ProfileReport report_of(const Profile& profile, const std::optional<MachineLimits>& limits) {
  if (profile.steps.empty()) fail("a profile without a step has nothing to report");
  const auto steps = static_cast<double>(profile.steps.size());
  ProfileReport report;
  report.limits = limits;
  report.steps = static_cast<int64_t>(profile.steps.size());
  report.rows = rows_of(profile, limits);
  report.phases = phases_of(profile);
  for (const ProfileSpan& step : profile.steps) report.step_seconds += step.seconds / steps;
  report.outside_seconds = report.step_seconds;
  for (const ProfileCall& call : profile.calls) report.outside_seconds -= call.seconds / steps;
  return report;
}

std::string profile_table(const ProfileReport& report) {
  constexpr double kSmallest = 0.001;  // of the step; rows below it share a line
  constexpr size_t kNarrowest = 21;    // the last line's words
  size_t width = kNarrowest;
  ProfileRow others;
  size_t shown = 0;
  for (const ProfileRow& row : report.rows) {
    if (row.seconds >= kSmallest * report.step_seconds) {
      width = std::max(width, row.operation.size());
      ++shown;
      continue;
    }
    others.calls += row.calls;
    others.seconds += row.seconds;
    others.limit_seconds += row.limit_seconds;
  }
  std::string text = fmt::format("{:<{}}  {:<9}  {:>7}  {:>8}  {:>6}  {:>14}{}\n", "operation", width,
                                 "phase", "calls", "ms", "step", "rate", report.limits ? "  of limit" : "");
  for (size_t i = 0; i < shown; ++i) text += table_line(report.rows[i], report, width);
  if (shown < report.rows.size()) {
    others.operation = fmt::format("{} smaller", report.rows.size() - shown);
    text += table_line(others, report, width);
  }
  text +=
      fmt::format("{:<{}}  {:<9}  {:>7}  {:>8.3f}  {:>5.1f}%\n", "outside any operation", width, "", "",
                  report.outside_seconds * kMilli, 100 * share(report.outside_seconds, report.step_seconds));
  text += fmt::format("\na step: {:.3f} ms, the mean of {}", report.step_seconds * kMilli, report.steps);
  for (const ProfilePhaseTime& phase : report.phases) {
    text += fmt::format("\n  {:<9}  {:>8.3f} ms, {:.3f} of them outside any operation", phase.phase,
                        phase.seconds * kMilli, phase.outside_seconds * kMilli);
  }
  text += report.limits ? limits_line(*report.limits) : "\n";
  return text;
}

Json profile_json(const ProfileReport& report) {
  Json json{{"machine", report.limits ? json_of(*report.limits) : Json()},
            {"steps", report.steps},
            {"step_ms", report.step_seconds * kMilli},
            {"outside_ms", report.outside_seconds * kMilli},
            {"phases", Json::array()},
            {"rows", Json::array()}};
  for (const ProfilePhaseTime& phase : report.phases) {
    json["phases"].push_back({{"phase", phase.phase},
                              {"ms", phase.seconds * kMilli},
                              {"outside_ms", phase.outside_seconds * kMilli}});
  }
  for (const ProfileRow& row : report.rows) json["rows"].push_back(json_of(row, report));
  return json;
}

std::string chrome_trace(const Profile& profile) {
  Json events = Json::array();
  events.push_back(
      {{"name", "process_name"}, {"ph", "M"}, {"pid", kProcess}, {"args", {{"name", "haze train"}}}});
  for (const ProfileSpan& step : profile.steps) {
    events.push_back(trace_event(step.name, "step", step.start, step.seconds, Json::object()));
  }
  for (const ProfileSpan& phase : profile.phases) {
    events.push_back(
        trace_event(phase.name, "phase", phase.start, phase.seconds, {{"step", phase.step + 1}}));
  }
  for (const ProfileCall& call : profile.calls) {
    const std::vector<int64_t> extents(call.extents.begin(), call.extents.end());
    Json arguments{
        {"step", call.step + 1}, {"extents", extents}, {"flops", call.flops}, {"bytes", call.bytes}};
    events.push_back(
        trace_event(call.operation, "operation", call.start, call.seconds, std::move(arguments)));
  }
  return events.dump();
}

}  // namespace haze
