#include <cmath>
#include <functional>

#include <doctest/doctest.h>

#include "haze/engine/ops.h"
#include "haze/engine/simt/launch.h"

#include "error_of.h"

// Kernels of attention on the emulated GPU: what they refuse, and where a softmax has no value. The operation
// table has their numbers.
using namespace haze;
using haze::testing::error_of;

namespace {

Tensor numbers(const std::vector<int32_t>& values, Device device) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())}, device);
}

// The sentence with which attention, or its gradient, refuses `options` for six queries and keys.
std::string refusal(Device device, bool gradient,
                    const std::function<void(AttentionOptions&, Device)>& change) {
  AttentionOptions options;
  change(options, device);
  const Tensor x = ones({1, 6, 2, 4}, Dtype::float32, device);
  return error_of([&] {
    if (gradient) {
      attention_gradient(x, x, x, x, attention(x, x, x, {}), options);
    } else {
      attention(x, x, x, options);
    }
    synchronize(device);
  });
}

}  // namespace

TEST_CASE("attention: an emulated GPU refuses offsets and lengths in the words of the processor") {
  using O = AttentionOptions;
  const std::vector<std::function<void(O&, Device)>> changes = {
      [](O& o, Device d) { o.key_lengths = numbers({7}, d); },
      [](O& o, Device d) { o.key_lengths = numbers({-1}, d); },
      [](O& o, Device d) {
        o.query_offsets = numbers({0, 4, 3, 6}, d);
      },
      [](O& o, Device d) {
        o.query_offsets = numbers({0, 4}, d);
      },
      [](O& o, Device d) {
        o.query_offsets = numbers({1, 6}, d);
      },
      [](O& o, Device d) { o.query_offsets = numbers({0}, d); },
      [](O& o, Device d) {
        o.query_offsets = numbers({-2, 9, 6}, d);
      },
      [](O& o, Device d) {
        o.query_offsets = numbers({0, 4, 6}, d);
        o.key_offsets = numbers({0, 7, 6}, d);
      },
      [](O& o, Device d) {
        o.query_offsets = numbers({0, 4, 6}, d);
        o.key_lengths = numbers({4, 3}, d);
      },
      [](O& o, Device d) {
        o.query_offsets = numbers({0, 4, 6}, d);
        o.block_mask = ones({2, 1}, Dtype::uint8, d);
        o.block_size = 2;
      }};
  for (const auto& change : changes) {
    for (bool gradient : {false, true}) {
      const std::string expected = refusal(Device::cpu, gradient, change);
      CHECK(expected.starts_with(gradient ? "attention_gradient: " : "attention: "));
      CHECK(refusal(Device::simt, gradient, change) == expected);
      simt::set_checked(true);  // no access is out of bounds for all that
      CHECK(refusal(Device::simt, gradient, change) == expected);
      simt::set_checked(false);
    }
  }
}

TEST_CASE("attention: on an emulated GPU, a query that sees no key gets 0, and one without digits NaN") {
  const Tensor x = ones({3, 2, 1, 4}, Dtype::float32, Device::simt);
  fill(slice(x, 0, 1, 2), 1e5);  // scores of 2e10
  AttentionOptions options;
  options.key_lengths = numbers({0, 2, 1}, Device::simt);
  const AttentionResult result = attention(x, x, x, options);
  const AttentionGradient gradient = attention_gradient(x, x, x, x, result, options);
  const auto output = result.output.to_vector<float>(), max = result.row_max.to_vector<float>(),
             sum = result.row_sum.to_vector<float>(), of_query = gradient.query.to_vector<float>();
  for (size_t i = 0; i < 8; ++i) {
    CHECK(output[i] == 0);
    CHECK(of_query[i] == 0);
    CHECK(std::isnan(output[8 + i]));
    CHECK(output[16 + i] == 1);
  }
  for (size_t row = 0; row < 2; ++row) {
    CHECK(max[row] == -std::numeric_limits<float>::infinity());
    CHECK(sum[row] == 0);
    CHECK(max[4 + row] == 2);
    CHECK(sum[4 + row] == 1);
  }
}

TEST_CASE("attention: on an emulated GPU, dropout draws from the counter in the device's memory") {
  const Tensor x = ones({1, 9, 2, 4}, Dtype::float32, Device::simt);
  AttentionOptions options{.dropout = 0.5, .dropout_position = {3, 4, 5}};
  const auto first = attention(x, x, x, options).output.to_vector<float>();
  const Tensor counter =
      Tensor::from<int32_t>({100, 0}, {2}, Device::simt);  // the lower half of 64 bits first
  options.dropout_position.base = random_base(counter);
  CHECK(attention(x, x, x, options).output.to_vector<float>() != first);
  options.dropout_position = {3, 4, 105};
  const auto moved = attention(x, x, x, options).output.to_vector<float>();
  options.dropout_position = {3, 4, 5};
  options.dropout_position.base = random_base(counter);
  CHECK(attention(x, x, x, options).output.to_vector<float>() == moved);
}
