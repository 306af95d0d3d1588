#include "haze/engine/memory.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/ops.h"

using namespace haze;

namespace {

// The most bytes in use while f runs, over what was in use before.
template <typename F>
size_t peak_bytes(F&& f) {
  const size_t before = memory_statistics().in_use;
  reset_peak_memory();
  f();
  return memory_statistics().peak - before;
}

// Multiples of 64 up to 512, then eight steps to each doubling.
std::vector<size_t> size_classes(size_t largest) {
  std::vector<size_t> classes;
  for (size_t bytes = 64; bytes < 512; bytes += 64) classes.push_back(bytes);
  for (size_t doubling = 512; doubling <= largest; doubling *= 2) {
    for (size_t step = 0; step < 8; ++step) classes.push_back(doubling + step * doubling / 8);
  }
  return classes;
}

}  // namespace

TEST_CASE(
    "memory: a block has the smallest size class that holds what was asked for, on a 64-byte boundary") {
  constexpr size_t kLargest = size_t{1} << 22;
  const std::vector<size_t> classes = size_classes(2 * kLargest);
  std::vector<size_t> asked = {0};
  for (size_t bytes = 1; bytes < 3000; ++bytes) asked.push_back(bytes);
  for (const size_t bytes : classes) {
    if (bytes <= kLargest) asked.insert(asked.end(), {bytes - 1, bytes, bytes + 1});
  }
  for (const size_t bytes : asked) {
    const Storage storage = allocate(bytes);
    INFO(bytes, " bytes");
    CHECK(storage.capacity() == *std::lower_bound(classes.begin(), classes.end(), bytes));
    CHECK(reinterpret_cast<uintptr_t>(storage.data()) % 64 == 0);
  }
}

TEST_CASE("memory: a block that was dropped serves the next request of its size class, and no larger one") {
  const auto address = [](size_t bytes) { return allocate(bytes).data(); };
  const void* first = address(100'000);
  const uint64_t calls = memory_statistics().system_calls;
  CHECK(address(100'000) == first);
  CHECK(address(99'000) == first);
  CHECK(memory_statistics().system_calls == calls);
  CHECK(address(200'000) != first);
  const Storage held = allocate(100'000);
  CHECK(held.data() == first);
  CHECK(address(100'000) != first);
}

TEST_CASE("memory: in_use and peak count whole size classes, and a block is in use while a handle is left") {
  const size_t before = memory_statistics().in_use;
  Storage storage = allocate(1025);  // of 1152 bytes
  CHECK(memory_statistics().in_use - before == 1152);
  Storage copy = storage;
  CHECK(copy.use_count() == 2);
  CHECK(memory_statistics().in_use - before == 1152);
  storage = Storage();
  CHECK(memory_statistics().in_use - before == 1152);
  copy = Storage();
  CHECK(memory_statistics().in_use == before);
  CHECK(peak_bytes([] {
          const Storage a = allocate(64);
          { const Storage b = allocate(128); }
          const Storage c = allocate(64);
        }) == 192);
}

TEST_CASE("memory: a loop asks the system no more after its first step") {
  Generator generator(1);
  const Tensor x = normal({70, 90}, generator), weight = normal({110, 90}, generator);
  const auto step = [&] {
    const Tensor y = softmax(matmul(x, transpose(weight)));
    const Tensor gradient = matmul(transpose(softmax_gradient(y, clone(y))), x);
    add_into(weight, scale_shift(gradient, -0.1, 0));
  };
  step();
  const MemoryStatistics after_first = memory_statistics();
  for (int i = 0; i < 20; ++i) step();
  CHECK(memory_statistics().system_calls == after_first.system_calls);
  CHECK(memory_statistics().reserved == after_first.reserved);
  CHECK(memory_statistics().in_use == after_first.in_use);
}

TEST_CASE("memory: releasing the cache gives back every free block and leaves the others") {
  release_cached_memory();  // so that no block is larger than its holder asked for
  const Tensor kept = full({1000}, 3);
  { const Storage dropped = allocate(300'000); }
  CHECK(memory_statistics().reserved >= memory_statistics().in_use + 300'000);
  const uint64_t calls = memory_statistics().system_calls;
  release_cached_memory();
  CHECK(memory_statistics().reserved == memory_statistics().in_use);
  CHECK(memory_statistics().system_calls == calls);
  CHECK(kept.at({999}) == 3);
  const size_t reserved = memory_statistics().reserved;
  const Storage again = allocate(300'000);
  CHECK(memory_statistics().system_calls == calls + 1);
  CHECK(memory_statistics().reserved == reserved + again.capacity());
}

TEST_CASE("memory: more bytes than there are addresses is an error that says how many were asked for") {
  CHECK_THROWS_WITH_AS(allocate(SIZE_MAX),
                       doctest::Contains("out of memory: 18446744073709551615 bytes asked for on cpu"),
                       Error);
}

TEST_CASE("memory: attention of 4,096 tokens never holds [length, length], forward or backward") {
  constexpr int64_t kLength = 4096;
  constexpr size_t kScores = kLength * kLength * sizeof(float);
  Generator generator(1);
  const Shape shape{1, kLength, 1, 16};
  const Tensor query = normal(shape, generator), key = normal(shape, generator),
               value = normal(shape, generator), g = normal(shape, generator);
  AttentionResult result;
  CHECK(peak_bytes([&] { result = attention(query, key, value, {}); }) < kScores / 16);
  CHECK(peak_bytes([&] { attention_gradient(g, query, key, value, result, {}); }) < kScores / 16);
  // Masks that broadcast are read in place.
  AttentionOptions masked;
  masked.pair_mask = zeros({kLength});
  CHECK(peak_bytes([&] { result = attention(query, key, value, masked); }) < kScores / 16);
  CHECK(peak_bytes([&] { attention_gradient(g, query, key, value, result, masked); }) < kScores / 16);
}

TEST_CASE("memory: cross-entropy of 600 rows and 70,001 words never holds its logits whole") {
  constexpr int64_t kRows = 600, kVocabulary = 70001, kWidth = 2;
  constexpr size_t kLogits = kRows * kVocabulary * sizeof(float);
  Generator generator(1);
  const Tensor hidden = normal({kRows, kWidth}, generator), weight = normal({kVocabulary, kWidth}, generator);
  const Tensor targets = full({kRows}, 7, Dtype::int32);
  CHECK(peak_bytes([&] { linear_cross_entropy(hidden, weight, {}, targets); }) < kLogits / 4);
  CHECK(peak_bytes([&] { linear_cross_entropy(hidden, weight, {}, targets, ones({kRows})); }) < kLogits / 4);
}

TEST_CASE("memory: tensors are made and dropped on any thread, and none is lost or held twice") {
  constexpr int kThreads = 4, kRounds = 2000;
  constexpr int64_t kMost = 3000;
  const size_t before = memory_statistics().in_use;
  std::mutex mutex;
  std::vector<Tensor> shared;  // made by one thread and dropped by another
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      Generator generator(static_cast<uint64_t>(thread));
      for (int round = 0; round < kRounds; ++round) {
        const auto count = static_cast<int64_t>(generator.uniform() * kMost) + 1;
        const Tensor mine = full({count}, thread, Dtype::int32);
        Tensor given;
        {
          const std::lock_guard lock(mutex);
          shared.push_back(full({count}, static_cast<double>(count), Dtype::int32));
          const auto taken = static_cast<size_t>(generator.uniform() * static_cast<double>(shared.size()));
          std::swap(given, shared[taken]);
          std::swap(shared[taken], shared.back());
          if (round % 2 == 1) shared.pop_back();
        }
        const auto holds = [](const Tensor& x, int64_t value) {
          const std::vector<int32_t> values = x.to_vector<int32_t>();
          return std::all_of(values.begin(), values.end(), [&](int32_t v) { return v == value; });
        };
        if (!holds(mine, thread) || (given.defined() && !holds(given, given.elements()))) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  shared.clear();
  CHECK(wrong == 0);
  CHECK(memory_statistics().in_use == before);
}

TEST_CASE(
    "memory: the blocks of a pool that are in use are known while another thread takes and frees some") {
  const size_t before = memory_statistics().in_use;
  const MemoryPool pool(Device::cpu);
  std::atomic<bool> done = false;
  std::thread other([&] {
    const MemoryPoolScope scope(pool);
    for (int64_t round = 0; round < 2000; ++round) {
      // Other sizes ask for new blocks, so that the pool's list grows.
      const std::vector<Storage> held = {allocate(64), allocate(static_cast<size_t>(1 + round) * 64)};
    }
    done = true;
  });
  Storage kept;
  size_t wrong = 0;
  while (!done) {
    for (const Storage& storage : pool.in_use()) {
      if (!pool.owns(storage) || storage.use_count() < 1) ++wrong;
      kept = storage;
    }
  }
  other.join();
  CHECK(wrong == 0);
  if (kept) CHECK(pool.in_use() == std::vector<Storage>{kept});
  kept = {};
  CHECK(pool.in_use().empty());
  CHECK(memory_statistics().in_use == before);
}
