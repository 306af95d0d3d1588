#include "haze/tools/text/batch_stream.h"

#include <algorithm>
#include <map>
#include <numeric>

#include <doctest/doctest.h>

#include "tools/text_test_files.h"

namespace haze {
namespace {

using text_test::TestFolder;

std::vector<int32_t> draw(BatchStream& stream, int64_t batches) {
  std::vector<int32_t> numbers;
  for (int64_t i = 0; i < batches; ++i) {
    for (const int64_t number : stream.next()) numbers.push_back(static_cast<int32_t>(number));
  }
  return numbers;
}

}  // namespace

TEST_CASE("each example comes exactly once an epoch, also where batches straddle epochs") {
  constexpr int64_t kSize = 20;
  for (const int64_t batch_size : {1, 3, 20, 50}) {
    CAPTURE(batch_size);
    BatchStream stream(kSize, batch_size, 1);
    CHECK(static_cast<int64_t>(stream.next().size()) == batch_size);
    stream.restore({});
    auto numbers = draw(stream, 60 / std::gcd<int64_t>(60, batch_size));
    REQUIRE(numbers.size() % 20 == 0);
    std::vector<int32_t> all(20);
    std::iota(all.begin(), all.end(), 0);
    for (auto epoch = numbers.begin(); epoch != numbers.end(); epoch += 20) {
      CHECK(std::is_permutation(epoch, epoch + 20, all.begin()));
    }
  }
}

TEST_CASE("the order does not depend on the batch size, but on seed and epoch") {
  constexpr int64_t kSize = 50;
  BatchStream one(kSize, 1, 5), ten(kSize, 10, 5), other_seed(kSize, 10, 6);
  const auto order = draw(one, 100);
  CHECK(draw(ten, 10) == order);
  CHECK(draw(other_seed, 10) != order);
  CHECK(!std::equal(order.begin(), order.begin() + 50, order.begin() + 50));
  CHECK(!std::is_sorted(order.begin(), order.begin() + 50));
}

TEST_CASE("the order is the same on every machine") {
  constexpr int64_t kSize = 8;
  BatchStream stream(kSize, 16, 2024);
  // From the definitions of Philox4x32-10 and the shuffle, worked out in another language.
  CHECK(draw(stream, 1) == std::vector<int32_t>{0, 3, 4, 1, 6, 5, 2, 7, 1, 7, 4, 5, 6, 2, 0, 3});
}

TEST_CASE("a restored stream continues as if it had never stopped") {
  constexpr int64_t kSize = 23;
  BatchStream stream(kSize, 4, 9);
  for (int step = 0; step < 30; ++step) {
    const BatchStream::State state = stream.state();
    BatchStream restored(kSize, 4, 9);
    restored.restore(state);
    CHECK(restored.state() == state);
    BatchStream straight = stream;
    CHECK(draw(restored, 10) == draw(straight, 10));
    CHECK(restored.state() == straight.state());
    draw(stream, 1);
  }
  CHECK(stream.state() == BatchStream::State{.epoch = 30 * 4 / 23, .position = 30 * 4 % 23});
}

TEST_CASE("a state that no stream can have is refused and leaves the stream where it was") {
  const TestFolder folder;
  constexpr int64_t kSize = 5;
  BatchStream stream(kSize, 2, 1), untouched(kSize, 2, 1);
  CHECK(folder.error_of([&] { stream.restore({.epoch = 0, .position = 5}); }) ==
        "the data's position is 5, but must be at least 0 and below 5, the number of examples");
  CHECK(folder.error_of([&] { stream.restore({.epoch = 0, .position = -1}); }) ==
        "the data's position is -1, but must be at least 0 and below 5, the number of examples");
  CHECK(folder.error_of([&] { stream.restore({.epoch = -1, .position = 0}); }) ==
        "the data's epoch must be at least 0, but is -1");
  CHECK(draw(stream, 5) == draw(untouched, 5));
  CHECK(folder.error_of([&] { BatchStream(kSize, 0, 1); }) == "batch_size must be at least 1, but is 0");
  CHECK(folder.error_of([&] { BatchStream(0, 2, 1); }) == "there is no example to make batches of");
}

TEST_CASE("a shuffle gives all 24 orders of four examples equally often") {
  constexpr int64_t kSize = 4;
  BatchStream stream(kSize, 4, 77);
  std::map<std::vector<int32_t>, int> counts;
  constexpr int kEpochs = 24'000;
  for (int epoch = 0; epoch < kEpochs; ++epoch) ++counts[draw(stream, 1)];
  REQUIRE(counts.size() == 24);
  double chi_squared = 0;
  for (const auto& [order, count] : counts) chi_squared += (count - 1000.0) * (count - 1000.0) / 1000.0;
  // The 99.9 % quantile of the chi-squared distribution with 23 degrees of freedom.
  CHECK(chi_squared < 49.73);
}

}  // namespace haze
