#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/ops.h"

#include "error_of.h"

namespace haze {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The sentence with which `action` refuses a value on a device, there or when the host waits.
template <typename Action>
std::string refusal_on(Device device, const Action& action) {
  return testing::error_of([&] {
    action(device);
    synchronize(device);
  });
}

template <typename Action>
void check_same_refusal(const Action& action, const std::string& sentence) {
  CHECK(refusal_on(Device::cpu, action) == sentence);
  CHECK(refusal_on(Device::simt, action) == sentence);
  synchronize(Device::simt);  // it is thrown once
}

TEST_CASE("kernels for a GPU refuse rows of a sequence that is not there, in the cpu's words") {
  for (int32_t outside : {-1, 2}) {
    const auto index = [=](Device device) { return Tensor::from<int32_t>({0, 1, outside, 1}, {4}, device); };
    const auto rows = [](Device device) { return ones({4, 5}, Dtype::float32, device); };
    const auto modulation = [](Device device) { return ones({2, 5}, Dtype::float32, device); };
    const std::string rest = ": index " + std::to_string(outside) + " is outside an axis of extent 2";
    check_same_refusal(
        [&](Device d) { adaptive_layer_norm(rows(d), modulation(d), modulation(d), index(d), 1e-5); },
        "adaptive_layer_norm" + rest);
    check_same_refusal(
        [&](Device d) {
          const Tensor statistics = ones({4}, Dtype::float32, d);
          adaptive_layer_norm_gradient(rows(d), rows(d), modulation(d), index(d),
                                       {{}, statistics, statistics});
        },
        "adaptive_layer_norm_gradient" + rest);
    check_same_refusal([&](Device d) { gated_add(rows(d), modulation(d), rows(d), index(d)); },
                       "gated_add" + rest);
    check_same_refusal([&](Device d) { gated_add_gradient(rows(d), modulation(d), rows(d), index(d)); },
                       "gated_add_gradient" + rest);
    check_same_refusal(
        [&](Device d) {
          rotary(ones({4, 2, 6}, Dtype::float32, d), ones({2, 3}, Dtype::float32, d),
                 ones({2, 3}, Dtype::float32, d), index(d), 2, false);
        },
        "rotary" + rest);
  }
}

TEST_CASE("kernels for a GPU refuse probabilities and rates outside their range, in the cpu's words") {
  for (double p : {-0.5, 1.5, kInfinity}) {
    const auto one = [=](Device d) { return Tensor::from<double>({0.5, p}, {2}, d); };
    const std::string number = std::isinf(p) ? "inf" : p < 0 ? "-0.5" : "1.5";
    check_same_refusal(
        [&](Device d) {
          Generator generator(1);
          bernoulli(one(d), generator);
        },
        "bernoulli: the probability " + number + " is not in [0, 1]");
  }
  check_same_refusal(
      [](Device d) {
        Generator generator(1);
        poisson(Tensor::from<double>({5, -2.5}, {2}, d), generator);
      },
      "poisson: the rate -2.5 is not in [0, 1000000000]");
}

TEST_CASE("kernels for a GPU refuse rows that are no distribution, in the cpu's words") {
  const auto draw = [](std::vector<double> row, double uniform) {
    return [=](Device d) {
      const std::vector<double> good(3, -1), uniforms = {0.5, uniform};
      std::vector<double> rows = good;
      rows.insert(rows.end(), row.begin(), row.end());
      categorical(Tensor::from<double>(rows, {2, 3}, d), Tensor::from<double>(uniforms, {2}, d));
    };
  };
  const double nan = std::nan("");
  check_same_refusal(draw({0, nan, kInfinity}, 0), "categorical: row 1 has a NaN at category 1");
  check_same_refusal(draw({0, 0, kInfinity}, 0), "categorical: row 1 has +infinity at category 2");
  check_same_refusal(draw({-kInfinity, -kInfinity, -kInfinity}, 0),
                     "categorical: row 1 has no finite log-probability");
  check_same_refusal(draw({0, 0, 0}, 1), "categorical: uniforms hold 1, they take numbers in [0, 1)");
}

TEST_CASE(
    "AdamW on a GPU refuses a step below 1, and changes nothing where the gradient scale is not finite") {
  const auto step_with = [](Device device, int32_t step, double scale) {
    const auto made = [=](double value) { return full({3}, value, Dtype::float32, device); };
    const std::vector<AdamWSlot> slots(1, {made(1), made(2), made(3), made(4)});
    AdamWOptions options;
    options.device_gradient_scale = full({}, scale, Dtype::float64, device);
    options.device_step = Tensor::from<int32_t>({step}, {}, device);
    adamw_step(slots, options);
    std::vector<float> result;
    for (const Tensor& x : {slots[0].parameter, slots[0].first_moment, slots[0].second_moment}) {
      result.push_back(to(x, Device::cpu).to_vector<float>()[2]);
    }
    return result;
  };
  check_same_refusal([&](Device d) { step_with(d, 0, 1); }, "adamw_step: step 0 counts from 1");
  for (double scale : {kInfinity, std::nan("")}) {
    for (int32_t step : {0, 3}) {
      CHECK(step_with(Device::simt, step, scale) == std::vector<float>{1, 3, 4});
    }
  }
  CHECK(step_with(Device::simt, 3, 0.5)[0] == doctest::Approx(step_with(Device::cpu, 3, 0.5)[0]));
}

}  // namespace
}  // namespace haze
