#include "haze/engine/simt/checker.h"

#include <algorithm>
#include <bit>
#include <utility>

#include <fmt/format.h>

#include "haze/engine/error.h"
#include "haze/engine/simt/symbols.h"

namespace haze::simt {
namespace {

constexpr size_t kDeviceAddresses = size_t{256} << 30, kSharedAddresses = size_t{4} << 20;
constexpr unsigned kIndexBits = 10;  // of a thread in its block
static_assert(kMostThreads == 1 << kIndexBits);
constexpr uint64_t kWholeBlock = uint64_t{1} << 32;  // in the key of a Clock

constinit Checker* active = nullptr;
constinit bool is_watching = false;
constinit uint32_t last_time = 1;  // of all launches: stamps never go back

Arena& device_memory() {
  static auto* const arena =
      new Arena(kDeviceAddresses);  // tensors with static storage duration may outlive it
  return *arena;
}

struct Mutation {
  std::string left_out;
  std::set<std::string> met;
};
Mutation& mutation() {
  static Mutation mutation;
  return mutation;
}

uint32_t block_of(uint32_t thread) {
  return thread >> kIndexBits;
}
uint32_t index_of(uint32_t thread) {
  return thread & (kMostThreads - 1);
}
std::string name_of(uint32_t thread) {
  return fmt::format("thread {} of block {}", index_of(thread), block_of(thread));
}

void join(Clock& into, const Clock& from) {
  for (const auto& [who, stamp] : from) into[who] = std::max(into[who], stamp);
}

}  // namespace

Checker::Checker(const Kernel& kernel, const LaunchShape& shape)
    : shared_(kSharedAddresses), now_(last_time + 1), launch_start_(last_time), counters_(kernel, shape) {
  if (shape.grid.count() >> (32 - kIndexBits) != 0) {
    fail("kernel {}: {} blocks are more than a checked launch can have", kernel.name, shape.grid.count());
  }
  active = this;
}

Checker::~Checker() {
  active = nullptr;
  is_watching = false;
  last_time = now_;
}

Checker* Checker::watching() {
  return is_watching ? active : nullptr;
}

void Checker::watch(bool on) {
  is_watching = on;
}

void Checker::begin_block(Block& block) {
  block_ = &block;
  shared_.clear();
  block_start_ = now_++;
  known_.assign(block.threads().size(), {});
  copies_.assign(block.threads().size(), {});
  for (Knowledge& knowledge : known_) knowledge.stamp = now_;
  counters_.begin_block(block.number(), block.threads().size());
}

void Checker::end_block() {
  counters_.end_interval();
}

void* Checker::allocate_shared(const char* name, size_t bytes) {
  return shared_.allocate(name, bytes);
}

uint32_t Checker::id_of(const Thread& thread) const {
  return static_cast<uint32_t>(block_->number() << kIndexBits) | thread.index;
}

// All threads of the block know one another.
void Checker::block_barrier(Collective what, std::source_location at) {
  Clock all;
  for (const Knowledge& knowledge : known_) join(all, knowledge.acquired);
  const uint32_t floor = now_++;
  for (Knowledge& knowledge : known_) {
    knowledge.floor = floor;
    knowledge.stamp = now_;
    knowledge.acquired = all;
  }
  counters_.meet(what, 0, at);
}

void Checker::warp_barrier(Collective what, unsigned warp, uint32_t mask, std::source_location at) {
  counters_.meet(what, warp, at);
  if (what != Collective::warp_barrier) return;  // shuffles and votes order no memory
  const size_t first = size_t{warp} * kWarp, lanes = std::min<size_t>(kWarp, known_.size() - first);
  std::array<uint32_t, kWarp> together{};
  Clock all;
  for (size_t i = 0; i < lanes; ++i) {
    if (!(mask >> i & 1)) continue;
    const Knowledge& lane = known_[first + i];
    for (size_t j = 0; j < kWarp; ++j) together[j] = std::max(together[j], lane.lanes[j]);
    together[i] = std::max(together[i], lane.stamp);
    join(all, lane.acquired);
  }
  ++now_;
  for (size_t i = 0; i < lanes; ++i) {
    if (!(mask >> i & 1)) continue;
    Knowledge& lane = known_[first + i];
    lane.lanes = together;
    lane.stamp = now_;
    lane.acquired = all;
  }
}

void Checker::fence() {
  const Thread& thread = block_->current();
  Knowledge& mine = known_[thread.index];
  join(mine.acquired, mine.pending);
  mine.pending.clear();
  mine.released = mine.acquired;
  const uint32_t first = id_of(thread) - thread.lane();
  for (uint32_t i = 0; i < kWarp; ++i) {
    if (mine.lanes[i] > 0) mine.released[first + i] = mine.lanes[i];
  }
  mine.released[kWholeBlock | block_->number()] = mine.floor;
  mine.released[id_of(thread)] = mine.stamp;
  mine.stamp = ++now_;
}

void Checker::meet(const void* address) {
  Knowledge& mine = known_[block_->current().index];
  Clock& published = published_[reinterpret_cast<uintptr_t>(address)];
  join(mine.pending, published);
  join(published, mine.released);
}

bool Checker::happened_before(const Access& access, bool in_shared) const {
  const Thread& thread = block_->current();
  const uint32_t me = id_of(thread);
  if (access.stamp <= (in_shared ? block_start_ : launch_start_) || access.thread == me) return true;
  const Knowledge& mine = known_[thread.index];
  const uint32_t index = index_of(access.thread);
  if (block_of(access.thread) == block_of(me)) {
    if (access.stamp <= mine.floor) return true;
    if (index / kWarp == thread.warp() && access.stamp <= mine.lanes[index % kWarp]) return true;
  }
  const auto knows = [&](uint64_t who) {
    const auto found = mine.acquired.find(who);
    return found != mine.acquired.end() && access.stamp <= found->second;
  };
  return !mine.acquired.empty() && (knows(access.thread) || knows(kWholeBlock | block_of(access.thread)));
}

// Of the accesses of one kind, two are kept: the newest, and the newest among those as far from it as
// possible (in another block, warp, lane). A later access that is unordered with any of them is unordered
// with one of these two, as long as barriers of a warp are of all its lanes.
void Checker::keep(Access (&kept)[2], const Access& access, bool in_shared) const {
  const auto distance = [&](const Access& other) {
    if (other.thread == access.thread || happened_before(other, in_shared)) return 0;
    if (block_of(other.thread) != block_of(access.thread)) return 3;
    return index_of(other.thread) / kWarp != index_of(access.thread) / kWarp ? 2 : 1;
  };
  if (distance(kept[0]) >= std::max(1, distance(kept[1]))) kept[1] = kept[0];
  kept[0] = access;
}

void Checker::check_cell(Cell& cell, const Access& mine, AccessKind kind, bool in_shared,
                         const Region& region, uintptr_t address) {
  const char* const word = kind == AccessKind::read    ? "read"
                           : kind == AccessKind::write ? "write"
                                                       : "atomic access";
  const auto unordered = [&](const Access& other, const char* did) {
    if (happened_before(other, in_shared)) return;
    // A statement of its own: what is alive at the call is never destroyed.
    std::string what = fmt::format("race: {} {} at {}, and unordered with it is a {}", name_of(other.thread),
                                   did, line_of(other.pc), word);
    fail_at(std::move(what), address, region, mine.pc);
  };
  if (cell.pending) {
    std::string what = fmt::format("{} asked for a copy_async at {}, and did not wait for it before a {}",
                                   name_of(cell.write.thread), line_of(cell.write.pc), word);
    fail_at(std::move(what), address, region, mine.pc);
  }
  const bool written =
      region.trusted || cell.initialised || cell.write.stamp > 0 || cell.atomics[0].stamp > 0;
  if (kind != AccessKind::write && !written) fail_at("uninitialised read", address, region, mine.pc);
  unordered(cell.write, "wrote");
  if (kind != AccessKind::atomic) {
    for (const Access& other : cell.atomics) unordered(other, "made an atomic access");
  }
  if (kind != AccessKind::read) {
    for (const Access& other : cell.reads) unordered(other, "read");
  }
  switch (kind) {
    case AccessKind::read:
      return keep(cell.reads, mine, in_shared);
    case AccessKind::atomic:
      return keep(cell.atomics, mine, in_shared);
    case AccessKind::write:
      cell = {.write = mine, .initialised = cell.initialised};
  }
}

Access Checker::access_by_current(uint32_t pc) const {
  const Thread& thread = block_->current();
  return {id_of(thread), known_[thread.index].stamp, pc};
}

// The allocation that an access goes to. Null for what only this thread touches, and for tables of constants.
Region* Checker::region_of(const void* pointer, size_t bytes, AccessKind kind, uint32_t pc) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  const bool in_shared = shared_.contains(pointer);
  if (!in_shared && !device_memory().contains(pointer)) {
    if (block_->current().fiber->holds(pointer) || is_of_program(pointer)) return nullptr;
    std::string sentence = fmt::format("the host's memory is touched at {}", line_of(pc));
    block_->fail_thread(std::move(sentence));
  }
  Region* const region = (in_shared ? shared_ : device_memory()).region_near(address);
  const char* const word = kind == AccessKind::read ? "read" : "write";
  if (!region || !region->contains(address, bytes)) {
    static const Region nothing{.name = "unallocated memory"};
    fail_at(fmt::format("out-of-bounds {} of {} bytes", word, bytes), address, region ? *region : nothing,
            pc);
  }
  if (region->freed) fail_at(fmt::format("{} after free", word), address, *region, pc);
  if (address % bytes != 0)
    fail_at(fmt::format("misaligned {} of {} bytes", word, bytes), address, *region, pc);
  return region;
}

void Checker::check(const void* pointer, size_t bytes, AccessKind kind, uint32_t pc) {
  Region* const region = region_of(pointer, bytes, kind, pc);
  if (!region) return;
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  const bool in_shared = shared_.contains(pointer);
  const Access mine = access_by_current(pc);
  Cell* const cells = region->cells_of(address, bytes);
  const size_t count = region->count_of(address, bytes);
  for (size_t i = 0; i < count; ++i) {
    check_cell(cells[i], mine, kind, in_shared, *region, address + i * region->cell_bytes);
  }
}

void Checker::count(const void* pointer, size_t bytes, bool in_shared, bool writes, uint32_t pc) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  static const Region nothing;
  const Region& region = bytes == 0 ? nothing : *(in_shared ? shared_ : device_memory()).region_near(address);
  counters_.record({address, bytes, in_shared, writes, region.begin}, region.name, block_->current().index,
                   pc);
}

void Checker::access(const void* pointer, size_t bytes, AccessKind kind, const void* return_address) {
  const uint32_t pc = offset_of(return_address);
  const bool in_shared = shared_.contains(pointer);
  if (!in_shared && !device_memory().contains(pointer)) {
    region_of(pointer, bytes, kind, pc);
    return;
  }
  check(pointer, bytes, kind, pc);
  count(pointer, bytes, in_shared, kind != AccessKind::read, pc);
}

void Checker::copy_async(void* shared, const void* global, unsigned bytes, unsigned valid,
                         const void* return_address) {
  const uint32_t pc = offset_of(return_address);
  const auto to = reinterpret_cast<uintptr_t>(shared), from = reinterpret_cast<uintptr_t>(global);
  if (!shared_.contains(shared) || (valid > 0 && !device_memory().contains(global)) || valid > bytes) {
    std::string sentence = fmt::format(
        "copy_async of {} bytes of {}, not from global to shared memory, at {}", valid, bytes, line_of(pc));
    block_->fail_thread(std::move(sentence));
  }
  if (valid > 0 && from % bytes != 0) {
    Region* const region = device_memory().region_near(from);
    fail_at(fmt::format("misaligned read of {} bytes", bytes), from, *region, pc);
  }
  for (unsigned done = 0; done < valid;) {  // a part of the bytes as accesses of a power of 2
    const unsigned part = std::min(std::bit_floor(valid - done), 16u);
    check(static_cast<const char*>(global) + done, part, AccessKind::read, pc);
    done += part;
  }
  check(shared, bytes, AccessKind::write, pc);
  Region* const region = shared_.region_near(to);
  Cell* const cells = region->cells_of(to, bytes);
  for (size_t i = 0; i < region->count_of(to, bytes); ++i) cells[i].pending = true;
  const unsigned thread = block_->current().index;
  count(global, valid, false, false, pc);
  count(shared, bytes, true, true, pc);
  copies_[thread].add({shared, global, bytes, valid, pc});
}

void Checker::copy_async_commit() {
  copies_[block_->current().index].commit();
}

void Checker::copy_async_wait(unsigned groups) {
  for (const AsyncCopy& copy : copies_[block_->current().index].take(groups)) {
    const auto to = reinterpret_cast<uintptr_t>(copy.to);
    Region* const region = shared_.region_near(to);
    Cell* const cells = region->cells_of(to, copy.bytes);
    for (size_t i = 0; i < region->count_of(to, copy.bytes); ++i) cells[i].pending = false;
    check(copy.to, copy.bytes, AccessKind::write, copy.pc);
    copy.carry_out();
  }
}

void Checker::fail_at(std::string what, uintptr_t address, const Region& region, uint32_t pc) {
  is_watching = false;
  std::string sentence =
      fmt::format("{}: {}, byte {} of {}, at {}", what, region.name,
                  static_cast<intptr_t>(address - region.begin), region.end - region.begin, line_of(pc));
  std::string().swap(what);  // fail_thread() abandons this stack: nothing on it may own memory
  block_->fail_thread(std::move(sentence));
}

void* allocate_device(std::string name, size_t bytes) {
  return device_memory().allocate(std::move(name), bytes);
}

void free_device(void* memory) {
  device_memory().free(memory);
}

void trust_device_memory() {
  device_memory().trust_all();
}

void mark_initialised(const void* memory, size_t bytes) {
  if (bytes == 0) return;
  const auto address = reinterpret_cast<uintptr_t>(memory);
  Region* const region = device_memory().region_near(address);
  // A common power of two of both ends, so that whole cells are marked.
  const uintptr_t ends =
      (address - region->begin) |
      (address - region->begin + bytes == region->end - region->begin ? 0 : address - region->begin + bytes);
  const size_t cell = ends == 0 ? 16 : size_t{1} << std::min(std::countr_zero(ends), 4);
  Cell* const cells = region->cells_of(address, cell);
  for (size_t i = 0; i < region->count_of(address, bytes); ++i) cells[i].initialised = true;
}

void leave_out(std::string barrier) {
  mutation().left_out = std::move(barrier);
}
const std::set<std::string>& barriers_met() {
  return mutation().met;
}
void clear_barriers() {
  mutation().met.clear();
}
bool is_left_out(std::source_location at) {
  const std::string_view path = at.file_name();
  std::string name = fmt::format("{}:{}", path.substr(path.rfind('/') + 1), at.line());
  const bool left_out = name == mutation().left_out;
  mutation().met.insert(std::move(name));
  return left_out;
}

}  // namespace haze::simt
