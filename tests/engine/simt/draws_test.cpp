#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/ops.h"

#include "gpus.h"

namespace haze {
namespace {

std::vector<double> values_of(const Tensor& x) {
  return to(x, Device::cpu).to_vector<double>();
}

// What every operation that draws gives at a position, on a device.
std::vector<std::vector<double>> drawn_at(const RandomPosition& position, Device device) {
  Generator numbers(Generator::State{position.seed, position.stream, position.counter});
  numbers.set_base(position.base);
  std::vector<std::vector<double>> result;
  for (Dtype dtype : {Dtype::float32, Dtype::float64}) {
    // A transposed operand, and lengths that end within a counter's words.
    const Tensor x = transpose(to(reshape(cast(arange(3 * 37), dtype), {3, 37}), device));
    for (const Tensor& drawn : {
             uniform({1001}, numbers, -0.3, 7.1, dtype, device),
             normal({1001}, numbers, 0.25, 1.7, dtype, device),
             dropout(x, 0.3, position),
             bernoulli(full({501}, 0.4, dtype, device), numbers),
             poisson(full({301}, 3.5, dtype, device), numbers),
             poisson(full({301}, 70, dtype, device), numbers),
             categorical(zeros({40, 300}, dtype, device), position),
         }) {
      result.push_back(values_of(drawn));
    }
  }
  result.push_back(values_of(random_integers({1001}, numbers, -5, 1 << 30, device)));
  return result;
}

TEST_CASE("kernels for a GPU draw the cpu's bits") {
  for (uint64_t counter : {uint64_t{0}, (uint64_t{1} << 32) - 9, ~uint64_t{0} - 20}) {
    const RandomPosition position{0x123456789ABCDEF, (uint64_t{7} << 32) + 9, counter};
    for (Device gpu : test::gpus()) CHECK(drawn_at(position, gpu) == drawn_at(position, Device::cpu));
  }
}

TEST_CASE("kernels for a GPU draw relative to a counter in its memory, which they move on") {
  const uint64_t start = (uint64_t{1} << 32) - 3;
  for (Device gpu : test::gpus()) {
    const Tensor counter = random_counter(start, gpu);
    const RandomPosition position{7, 3, 5, random_base(counter)};
    CHECK(drawn_at(position, gpu) == drawn_at({7, 3, start + 5}, Device::cpu));
    advance_counter(counter, 1000);
    CHECK(drawn_at(position, gpu) == drawn_at({7, 3, start + 5 + 1000}, Device::cpu));
    CHECK(to(counter, Device::cpu).to_vector<int32_t>() == std::vector<int32_t>{997, 1});
  }
}

}  // namespace
}  // namespace haze
