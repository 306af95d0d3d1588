#include "haze/engine/simt/counters.h"

#include <algorithm>
#include <bit>
#include <map>
#include <tuple>
#include <utility>

#include "haze/engine/simt/symbols.h"

namespace haze::simt {
namespace {

constexpr uintptr_t kSector = 32, kBank = 4, kBanks = 32;

bool counting = false;

LaunchCounts& counts_of_last() {
  static LaunchCounts counts;
  return counts;
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

void LineCount::add(const LineCount& other) {
  requests += other.requests;
  bytes += other.bytes;
  sectors += other.sectors;
  conflicts += other.conflicts;
}

LineCount LaunchCounts::total(bool in_shared, bool writes) const {
  LineCount result{.in_shared = in_shared, .writes = writes};
  for (const LineCount& count : lines) {
    if (count.in_shared == in_shared && count.writes == writes) result.add(count);
  }
  return result;
}

const LaunchCounts& last_counts() {
  return counts_of_last();
}
void set_counting(bool on) {
  counting = on;
}

Counters::Counters(const char* kernel, const LaunchShape& shape)
    : on_(counting), kernel_(kernel), shape_(shape) {}

Counters::~Counters() {
  if (!on_) return;
  LaunchCounts& result = counts_of_last() = {kernel_, shape_, {}};
  // A line may have several accesses of one kind.
  std::map<std::tuple<std::string, bool, bool>, LineCount> lines;
  for (const auto& [key, count] : counts_) {
    const std::string line = line_of(static_cast<uint32_t>(key >> 1));
    lines.try_emplace({line, count.in_shared, count.writes}, LineCount{line, count.in_shared, count.writes})
        .first->second.add(count);
  }
  for (auto& [name, count] : lines) result.lines.push_back(std::move(count));
}

void Counters::begin_block(size_t threads) {
  if (on_) warps_.assign((threads + kWarp - 1) / kWarp, {});
}

void Counters::record(const LaneAccess& access, unsigned thread, uint32_t pc) {
  if (!on_) return;
  Trace& trace = warps_[thread / kWarp][key_of(pc, access.in_shared)];
  trace.in_shared = access.in_shared;
  trace.writes = access.writes;
  const unsigned lane = thread % kWarp;
  const uint32_t execution = trace.executions[lane]++;
  if (execution == trace.requests.size()) trace.requests.emplace_back();
  if (access.bytes == 0) return;
  Request& request = trace.requests[execution];
  request.lanes |= uint32_t{1} << lane;
  request.bytes = std::max(request.bytes, access.bytes);
  request.addresses[lane] = access.address;
}

void Counters::end_interval() {
  for (unsigned warp = 0; warp < warps_.size(); ++warp) end_interval(warp);
}

void Counters::end_interval(unsigned warp) {
  if (!on_) return;
  for (auto& [key, trace] : warps_[warp]) {
    LineCount& count = counts_.try_emplace(key, LineCount{"", trace.in_shared, trace.writes}).first->second;
    for (const Request& request : trace.requests) {
      if (request.lanes == 0) continue;
      ++count.requests;
      count.bytes += request.bytes * static_cast<size_t>(std::popcount(request.lanes));
      (trace.in_shared ? count.conflicts : count.sectors) +=
          trace.in_shared ? conflicts(request) : sectors(request);
    }
  }
  warps_[warp].clear();
}

uint64_t Counters::sectors(const Request& request) {
  return Touched(request.addresses, request.lanes, 0, kWarp, request.bytes, kSector).count();
}

// Shared memory serves a request of up to 4 bytes a lane at once, of 8 bytes by half-warps, of 16 bytes by
// quarters. Lanes that touch the same word share it; different words of one bank take a pass each.
uint64_t Counters::conflicts(const Request& request) {
  const unsigned step = request.bytes >= 16 ? 8 : request.bytes == 8 ? 16 : 32;
  uint64_t extra = 0;
  for (unsigned first = 0; first < kWarp; first += step) {
    Touched words(request.addresses, request.lanes, first, first + step, request.bytes, kBank);
    std::array<uint64_t, kBanks> passes{};
    uint64_t most = 1;
    for (const uintptr_t word : words) most = std::max(most, ++passes[word % kBanks]);
    extra += most - 1;
  }
  return extra;
}

}  // namespace haze::simt
