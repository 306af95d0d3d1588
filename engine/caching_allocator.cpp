#include "haze/engine/caching_allocator.h"

#include <algorithm>
#include <bit>
#include <memory>

#include "haze/engine/error.h"

namespace haze {
namespace {

constexpr size_t kAlignment = 64;

// Bytes that may be reserved beyond the largest in_use.
size_t allowance(size_t largest_in_use) {
  return largest_in_use / 5 * 2;
}

}  // namespace

CachingAllocator::SizeClass CachingAllocator::size_class_of(size_t bytes) {
  const size_t units = bytes == 0 ? 1 : (bytes + kAlignment - 1) / kAlignment;
  if (units <= kStepsPerDoubling) return {static_cast<int>(units) - 1, units * kAlignment};
  const int shift = std::bit_width(units - 1) - std::bit_width(static_cast<size_t>(kStepsPerDoubling));
  const size_t step = size_t{1} << shift;
  const size_t rounded = (units + step - 1) / step * step;
  const int top_shift = std::bit_width(rounded) - std::bit_width(static_cast<size_t>(kStepsPerDoubling));
  const auto mantissa = static_cast<int>(rounded >> top_shift) - kStepsPerDoubling;
  return {kStepsPerDoubling * (top_shift + 1) + mantissa - 1, rounded * kAlignment};
}

void FreeBlocks::push(Block* block) {
  List& list = lists_[static_cast<size_t>(block->size_class)];
  block->newer = nullptr;
  block->older = list.newest;
  (list.newest ? list.newest->newer : list.oldest) = block;
  list.newest = block;
}

void FreeBlocks::remove(Block* block) {
  List& list = lists_[static_cast<size_t>(block->size_class)];
  (block->newer ? block->newer->older : list.newest) = block->older;
  (block->older ? block->older->newer : list.oldest) = block->newer;
}

Block* FreeBlocks::oldest() const {
  Block* result = nullptr;
  for (const List& list : lists_) {
    if (list.oldest && (!result || list.oldest->freed_at < result->freed_at)) result = list.oldest;
  }
  return result;
}

Block* CachingAllocator::allocate(size_t bytes, int stream, BlockPool* pool) {
  const std::lock_guard lock(mutex_);
  if (bytes > SIZE_MAX / 2) fail_out_of_memory(bytes);
  const SizeClass size_class = size_class_of(bytes);
  Block* block = take_cached(size_class, pool ? pool->free : free_blocks(stream));
  if (block && pool) statistics_.pooled -= block->bytes;
  if (!block) {
    block = ask_system(size_class, pool == nullptr);
    block->pool = pool;
    if (pool) pool->all.push_back(block);
  }
  block->capacity = size_class.bytes;
  block->stream = stream;
  statistics_.in_use += block->capacity;
  statistics_.held += block->bytes;
  statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
  statistics_.peak_held = std::max(statistics_.peak_held, statistics_.held);
  largest_in_use_ = std::max(largest_in_use_, statistics_.in_use);
  return block;
}

void CachingAllocator::free(Block* block) {
  const std::lock_guard lock(mutex_);
  statistics_.in_use -= block->capacity;
  statistics_.held -= block->bytes;
  block->freed_at = ++frees_;
  if (block->pool) statistics_.pooled += block->bytes;
  (block->pool ? block->pool->free : free_blocks(block->stream)).push(block);
}

BlockPool* CachingAllocator::open_pool() {
  const std::lock_guard lock(mutex_);
  return pools_.emplace_back(std::make_unique<BlockPool>()).get();
}

void CachingAllocator::close_pool(BlockPool* pool) {
  const std::lock_guard lock(mutex_);
  for (Block* const block : pool->all) block->pool = nullptr;
  while (Block* const block = pool->free.oldest()) {
    pool->free.remove(block);
    statistics_.pooled -= block->bytes;
    block->freed_at = ++frees_;
    free_blocks(block->stream).push(block);
  }
  std::erase_if(pools_, [&](const auto& open) { return open.get() == pool; });
}

std::vector<Storage> CachingAllocator::in_use(const BlockPool& pool) {
  const std::lock_guard lock(mutex_);
  std::vector<Storage> result;
  result.reserve(pool.all.size());
  for (Block* const block : pool.all) {
    // Only beside another handle: a thread that has let go of the last one waits for the lock to free the
    // block.
    int count = block->references.load(std::memory_order_relaxed);
    while (count > 0 &&
           !block->references.compare_exchange_weak(count, count + 1, std::memory_order_relaxed)) {
    }
    if (count == 0) continue;
    result.emplace_back(block);
    block->references.fetch_sub(1, std::memory_order_relaxed);  // the new handle counts for itself
  }
  return result;
}

FreeBlocks& CachingAllocator::free_blocks(int stream) {
  const auto index = static_cast<size_t>(stream);
  if (index >= free_.size()) free_.resize(index + 1);
  return free_[index];
}

// A block of the request's own class, which costs one look at a list; otherwise the nearest larger one.
Block* CachingAllocator::take_cached(SizeClass size_class, FreeBlocks& blocks) {
  const int last = std::min(size_class.index + kLargerClasses, kSizeClasses - 1);
  Block* block = nullptr;
  for (int i = size_class.index; i <= last && !block; ++i) block = blocks.newest(i);
  if (!block || !worth_taking(*block, size_class.bytes)) return nullptr;
  blocks.remove(block);
  return block;
}

bool CachingAllocator::worth_taking(const Block& block, size_t bytes) const {
  const size_t waste = block.bytes - bytes, wasted = statistics_.held - statistics_.in_use;
  return waste == 0 || wasted + waste <= allowance(largest_in_use_with(bytes));
}

size_t CachingAllocator::largest_in_use_with(size_t bytes) const {
  return std::max(largest_in_use_, statistics_.in_use + bytes);
}

Block* CachingAllocator::ask_system(SizeClass size_class, bool may_release) {
  const size_t largest = largest_in_use_with(size_class.bytes);
  const size_t limit = largest + allowance(largest);
  while (may_release && statistics_.reserved - statistics_.pooled + size_class.bytes > limit &&
         release_oldest()) {
  }
  auto block = std::make_unique<Block>();
  block->data = runtime_.allocate(size_class.bytes);
  if (!block->data && may_release) {
    release_all();
    block->data = runtime_.allocate(size_class.bytes);
  }
  if (!block->data) fail_out_of_memory(size_class.bytes);
  block->bytes = size_class.bytes;
  block->size_class = size_class.index;
  block->device = device_;
  statistics_.reserved += size_class.bytes;
  ++statistics_.system_calls;
  return block.release();
}

// False where no block is cached. The runtime waits for kernels that still use the memory it frees.
bool CachingAllocator::release_oldest() {
  Block* oldest = nullptr;
  for (const FreeBlocks& blocks : free_) {
    Block* candidate = blocks.oldest();
    if (candidate && (!oldest || candidate->freed_at < oldest->freed_at)) oldest = candidate;
  }
  if (!oldest) return false;
  free_blocks(oldest->stream).remove(oldest);
  statistics_.reserved -= oldest->bytes;
  runtime_.free(oldest->data);
  delete oldest;
  return true;
}

void CachingAllocator::release_all() {
  while (release_oldest()) {
  }
}

void CachingAllocator::release_cached() {
  const std::lock_guard lock(mutex_);
  release_all();
  largest_in_use_ = statistics_.in_use;
}

void CachingAllocator::reset_peak() {
  const std::lock_guard lock(mutex_);
  statistics_.peak = statistics_.in_use;
  statistics_.peak_held = statistics_.held;
}

MemoryStatistics CachingAllocator::statistics() {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void CachingAllocator::fail_out_of_memory(size_t bytes) const {
  throw OutOfMemory(
      fmt::format("out of memory: {} bytes asked for on {}, where {} are in use and {} reserved", bytes,
                  name(device_), statistics_.held, statistics_.reserved));
}

}  // namespace haze
