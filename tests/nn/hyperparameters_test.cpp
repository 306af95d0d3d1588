#include "haze/nn/hyperparameters.h"

#include <cmath>
#include <limits>
#include <random>

#include <doctest/doctest.h>

#include "haze/nn/ema.h"

#include "nn/optimizers.h"
#include "nn/temporary_folder.h"

namespace haze {
namespace {

using nn_test::error_of;
using nn_test::Groups;
using nn_test::Pair;

constexpr double kSmallestNormal = std::numeric_limits<float>::min();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
const double kBelowNormal = std::nextafter(kSmallestNormal, 0.0);
// The largest float32 below 1, and the float64 half way from there to 1, which rounds to 1.
const double kBelowOne = 1 - std::exp2(-24), kRoundsToOne = 1 - std::exp2(-25);

using Check = void (*)(double, std::string_view, Dtype);

std::string refusal(Check check, double value, Dtype dtype) {
  return error_of([&] { check(value, "it", dtype); });
}

}  // namespace

TEST_CASE(
    "hyperparameters: each is refused from the value on that float32 cannot tell from 0, 1 or infinity") {
  const double smallest = std::numeric_limits<float>::denorm_min();
  const double largest = std::numeric_limits<float>::max();
  struct Case {
    Check check;
    double accepted, refused;
  };
  const Case cases[] = {{check_not_negative, smallest, smallest / 2},
                        {check_not_negative, largest, largest * 1.01},
                        {check_fraction, kBelowOne, kRoundsToOne},
                        {check_fraction, smallest, smallest / 2},
                        {check_denominator, kSmallestNormal, kBelowNormal},
                        {check_denominator, largest, largest * 1.01},
                        {check_weight_decay, std::exp2(-24), std::exp2(-25)},
                        {check_weight_decay, largest, largest * 1.01}};
  for (const Case& c : cases) {
    CAPTURE(c.accepted);
    CHECK(refusal(c.check, c.accepted, Dtype::float32) == "");
    CHECK(refusal(c.check, c.refused, Dtype::float32) != "");
    CHECK(refusal(c.check, c.refused, Dtype::bfloat16) != "");
    CHECK(refusal(c.check, c.refused, Dtype::float64) == "");
  }
  for (const Check check : {check_not_negative, check_fraction, check_weight_decay}) {
    CHECK(refusal(check, 0, Dtype::float32) == "");
    for (const double bad : {-1e-300, -kInfinity, kInfinity, kNan}) {
      CHECK(refusal(check, bad, Dtype::float64) != "");
    }
  }
  for (const double bad : {0.0, -1.0, kInfinity, kNan, 1e-310}) {
    CHECK(refusal(check_denominator, bad, Dtype::float64) != "");
  }
}

TEST_CASE("hyperparameters: the sentence says what the number becomes") {
  CHECK(refusal(check_not_negative, 1e-46, Dtype::float32) == "it 1e-46 is 0 in float32");
  CHECK(refusal(check_not_negative, 1e39, Dtype::float32) == "it 1e+39 is infinite in float32");
  CHECK(refusal(check_fraction, 0.9999999999, Dtype::float32) == "it 0.9999999999 is 1 in float32");
  CHECK(refusal(check_denominator, 1e-46, Dtype::float32) ==
        "it 1e-46 is below the smallest normal number of float32, 1.1754944e-38");
  CHECK(refusal(check_denominator, 1e-310, Dtype::float64) ==
        "it 1e-310 is below the smallest normal number of float64, 2.2250738585072014e-308");
  CHECK(refusal(check_weight_decay, 1e-9, Dtype::float32) ==
        "it 1e-09 decays nothing in float32, where 1 - 1e-09 is 1");
}

TEST_CASE("optimizers refuse in float32 what they take in float64") {
  Pair narrow, wide(Dtype::float64);
  const auto check = [&](auto make) {
    CHECK(error_of([&] { make(narrow); }) != "");
    CHECK(error_of([&] { make(wide); }) == "");
  };
  check([](Pair& pair) { AdamW(pair.parameters(), {.beta1 = 0.9999999999}); });
  check([](Pair& pair) { AdamW(pair.parameters(), {.beta2 = 0.9999999999}); });
  check([](Pair& pair) { AdamW(pair.parameters(), {.epsilon = 1e-46}); });
  check([](Pair& pair) { AdamW(pair.parameters(), {.weight_decay = 1e-12}); });
  check([](Pair& pair) { AdamW(Groups{{pair.parameters(), 1, 1e-12}}); });
  check([](Pair& pair) { Adagrad(pair.parameters(), {.epsilon = 1e-46}); });
  check([](Pair& pair) { Adagrad(pair.parameters(), {.initial_sum = 1e-46}); });
  check([](Pair& pair) { Sgd(pair.parameters(), {.momentum = 0.9999999999}); });
  check([](Pair& pair) { Sgd(pair.parameters(), {.momentum = 1e-46}); });
  check([](Pair& pair) { Sgd(pair.parameters()).step(1e-46); });
  check([](Pair& pair) { Sgd(pair.parameters()).step(1e39); });
  check([](Pair& pair) { Sgd(pair.parameters()).step(1, 1e-46); });
  check([](Pair& pair) { Sgd(pair.parameters()).step(1, -1e39); });
  check([](Pair& pair) { Sgd(Groups{{pair.parameters(), 1e-30, {}}}).step(1e-30); });
  CHECK(error_of([&] { AdamW(narrow.parameters(), {.epsilon = 1e-46}); }) ==
        "AdamW's epsilon 1e-46 is below the smallest normal number of float32, 1.1754944e-38");
  CHECK_THROWS_AS(Ema(narrow.parameters(), 0.9999999999), Error);
  CHECK_THROWS_AS(Ema(wide.parameters(), 0.9999999999), Error);  // its averages are float32
}

TEST_CASE(
    "AdamW and Adagrad stay finite at the smallest epsilon allowed, where gradients are 0 or underflow") {
  for (const double gradient : {0.0, 1e-30, 1.0}) {
    for (const bool is_adamw : {true, false}) {
      CAPTURE(gradient);
      CAPTURE(is_adamw);
      Pair pair;
      AdamW adamw(pair.parameters(), {.epsilon = kSmallestNormal});
      Adagrad adagrad(pair.parameters(), {.epsilon = kSmallestNormal});
      backward(pair.weight, full({4, 3}, gradient));
      for (int step = 0; step < 3; ++step) is_adamw ? adamw.step(0.1) : adagrad.step(0.1);
      CHECK(all_finite(pair.weight.value()));
    }
  }
}

}  // namespace haze
