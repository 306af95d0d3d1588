#include "haze/engine/simt/counters.h"

#include <algorithm>
#include <bit>
#include <map>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "haze/engine/error.h"
#include "haze/engine/simt/block.h"
#include "haze/engine/simt/symbols.h"

namespace haze::simt {
namespace {

constexpr uintptr_t kSector = 32, kBank = 4, kBanks = 32;

bool counting = false, following = false;

std::vector<LaunchCounts>& launches() {
  static std::vector<LaunchCounts> launches;
  return launches;
}

/// The distinct units of so many bytes that some lanes touch, in order.
class Touched {
 public:
  template <typename Addresses>
  Touched(const Addresses& addresses, uint32_t lanes, unsigned first, unsigned last, size_t bytes,
          uintptr_t unit) {
    for (unsigned lane = first; lane < last; ++lane) {
      if (!(lanes >> lane & 1)) continue;
      for (uintptr_t u = addresses[lane] / unit; u <= (addresses[lane] + bytes - 1) / unit; ++u)
        units_[count_++] = u;
    }
    std::sort(begin(), end());
    count_ = static_cast<size_t>(std::unique(begin(), end()) - begin());
  }
  uintptr_t* begin() { return units_.data(); }
  uintptr_t* end() { return units_.data() + count_; }
  size_t count() const { return count_; }

 private:
  std::array<uintptr_t, kWarp * 16> units_;
  size_t count_ = 0;
};

}  // namespace

uint64_t sectors_of(const Request& request) {
  return Touched(request.addresses, request.lanes, 0, kWarp, request.bytes, kSector).count();
}

// Lanes that touch the same word share it. Requests of 8 bytes a lane are served by half-warps, of 16 bytes
// by quarters.
BankPasses bank_passes_of(const Request& request) {
  const unsigned step = request.bytes >= 16 ? 8 : request.bytes == 8 ? 16 : 32;
  BankPasses result;
  for (unsigned first = 0; first < kWarp; first += step) {
    Touched words(request.addresses, request.lanes, first, first + step, request.bytes, kBank);
    if (words.count() == 0) continue;
    std::array<uint64_t, kBanks> passes{};
    uint64_t most = 0;
    for (const uintptr_t word : words) most = std::max(most, ++passes[word % kBanks]);
    result.passes += most;
    result.conflicts += most - 1;
  }
  return result;
}

void LineCount::add(const LineCount& other) {
  if (other.worst_units > worst_units) {
    worst = other.worst;
    worst_units = other.worst_units;
  }
  requests += other.requests;
  bytes += other.bytes;
  sectors += other.sectors;
  passes += other.passes;
  conflicts += other.conflicts;
}

LineCount LaunchCounts::total(bool in_shared, bool writes) const {
  LineCount result{.in_shared = in_shared, .writes = writes};
  for (const LineCount& count : lines) {
    if (count.in_shared == in_shared && count.writes == writes) result.add(count);
  }
  return result;
}

double LaunchCounts::scale() const {
  return static_cast<double>(shape.grid.count()) / static_cast<double>(blocks);
}

const std::vector<LaunchCounts>& counted_launches() {
  return launches();
}
const LaunchCounts& last_counts() {
  if (launches().empty()) fail("simt: no launch has been counted");
  return launches().back();
}
void set_counting(bool on) {
  if (on) launches().clear();
  counting = on;
}
void set_following(bool on) {
  following = on;
}

Counters::Counters(const Kernel& kernel, const LaunchShape& shape)
    : on_(counting), function_(kernel.function) {
  result_.kernel = kernel.name;
  result_.shape = shape;
}

Counters::~Counters() {
  if (!on_) return;
  std::vector<uint32_t> offsets{offset_at(function_)};
  for (const auto& [key, count] : counts_) offsets.push_back(pc_of(key));
  look_up(offsets);
  result_.function = function_at(offsets.front());
  // A line may have several accesses of one kind.
  std::map<std::tuple<std::string, bool, bool>, LineCount> lines;
  for (const auto& [key, count] : counts_) {
    const std::string line = line_of(pc_of(key));
    lines.try_emplace({line, count.in_shared, count.writes}, LineCount{line, count.in_shared, count.writes})
        .first->second.add(count);
  }
  for (auto& [name, count] : lines) result_.lines.push_back(std::move(count));
  launches().push_back(std::move(result_));
}

void Counters::begin_block(uint64_t number, size_t threads) {
  if (!on_) return;
  block_ = number;
  ++result_.blocks;
  warps_.assign((threads + kWarp - 1) / kWarp, {});
}

bool Counters::follows(unsigned warp) const {
  return on_ && following && block_ == 0 && warp == 0;
}

void Counters::record(const LaneAccess& access, const std::string& memory, unsigned thread, uint32_t pc) {
  if (!on_) return;
  Trace& trace = warps_[thread / kWarp][key_of(pc, access.in_shared)];
  trace.in_shared = access.in_shared;
  trace.writes = access.writes;
  const unsigned lane = thread % kWarp;
  const uint32_t execution = trace.executions[lane]++;
  if (execution == trace.requests.size()) trace.requests.emplace_back().order = order_++;
  if (access.bytes == 0) return;
  TracedRequest& request = trace.requests[execution];
  if (request.lanes == 0) {
    request.memory_begin = access.memory_begin;
    if (follows(thread / kWarp)) request.memory = memory;
  }
  request.lanes |= uint32_t{1} << lane;
  request.bytes = std::max(request.bytes, access.bytes);
  request.addresses[lane] = access.address;
}

void Counters::meet(Collective what, unsigned warp, std::source_location at) {
  if (!on_) return;
  if (is_of_block(what)) {
    end_interval();
  } else if (what == Collective::warp_barrier || follows(warp)) {
    end_interval(warp);
  }
  if (!follows(warp)) return;
  const std::string_view path = at.file_name();
  result_.followed.push_back(
      {fmt::format("{}:{}", path.substr(path.rfind('/') + 1), at.line()), name_of(what)});
}

void Counters::end_interval() {
  for (unsigned warp = 0; warp < warps_.size(); ++warp) end_interval(warp);
}

void Counters::end_interval(unsigned warp) {
  if (!on_) return;
  if (follows(warp)) follow(warps_[warp]);
  for (auto& [key, trace] : warps_[warp]) {
    LineCount& count = counts_.try_emplace(key, LineCount{"", trace.in_shared, trace.writes}).first->second;
    for (const TracedRequest& request : trace.requests) {
      if (request.lanes == 0) continue;
      LineCount one{"", trace.in_shared, trace.writes};
      one.requests = 1;
      one.bytes = request.bytes * static_cast<size_t>(std::popcount(request.lanes));
      if (trace.in_shared) {
        const BankPasses passes = bank_passes_of(request);
        one.passes = passes.passes;
        one.conflicts = passes.conflicts;
      } else {
        one.sectors = sectors_of(request);
      }
      one.worst = request;
      one.worst_units = one.sectors + one.passes;
      count.add(one);
    }
  }
  warps_[warp].clear();
}

// The requests of an interval, in the order in which the first of their lanes made them.
void Counters::follow(const std::unordered_map<uint64_t, Trace>& warp) {
  std::vector<uint32_t> offsets;
  for (const auto& [key, trace] : warp) offsets.push_back(pc_of(key));
  look_up(offsets);
  std::map<uint64_t, WarpStep> steps;
  for (const auto& [key, trace] : warp) {
    for (const TracedRequest& request : trace.requests) {
      if (request.lanes == 0) continue;
      steps[request.order] = {line_of(pc_of(key)),  trace.writes ? "write" : "read",
                              trace.in_shared,      request.memory,
                              request.memory_begin, request};
    }
  }
  for (auto& [order, step] : steps) result_.followed.push_back(std::move(step));
}

}  // namespace haze::simt
