#include "haze/nn/ema.h"

#include <cmath>
#include <cstring>

#include <doctest/doctest.h>

#include "haze/nn/safetensors.h"

#include "nn/temporary_folder.h"

namespace haze {
namespace {

using nn_test::TemporaryFolder;

class Single : public Module {
 public:
  explicit Single(Dtype dtype = Dtype::float32) { add_parameter("weight", weight, full({3}, 1, dtype)); }
  Variable weight;
};

double value_at_step(int step) {
  return std::sin(step * 1.7);
}

}  // namespace

TEST_CASE("ema: averages follow the recurrence, whose decay rises from 1/10 to its limit") {
  for (const double limit : {0.5, 0.999}) {
    Single module;
    Ema ema(module.parameters(), limit);
    double expected = 1;
    for (int step = 0; step < 50; ++step) {
      fill(module.weight.value(), value_at_step(step));
      ema.update();
      const double decay = std::min(limit, (1.0 + step) / (10.0 + step));
      expected = decay * expected + (1 - decay) * value_at_step(step);
    }
    CHECK(ema.updates() == 50);
    REQUIRE(ema.averages().size() == 1);
    CHECK(ema.averages()[0].name == "weight");
    for (const double average : ema.averages()[0].tensor.to_vector<double>()) {
      CHECK(average == doctest::Approx(expected).epsilon(1e-5));
    }
  }
}

TEST_CASE("ema: averages start at the parameters' values as copies of their own") {
  Single module;
  Ema ema(module.parameters(), 0.9);
  fill(module.weight.value(), 5);
  CHECK(ema.averages()[0].tensor.to_vector<float>() == std::vector<float>{1, 1, 1});
}

TEST_CASE("ema: a scope puts the averages in and gives every bit and gradient back") {
  for (const Dtype dtype : {Dtype::float32, Dtype::float64}) {
    CAPTURE(name(dtype));
    Single module(dtype);
    Ema ema(module.parameters(), 0.9);
    fill(module.weight.value(), 0.7);
    ema.update();
    backward(module.weight, full({3}, 2, dtype));
    const Tensor value = module.weight.value(), before = clone(value);
    {
      const EmaScope scope(ema);
      CHECK(value.to_vector<double>()[0] == doctest::Approx(0.1 * 1 + 0.9 * 0.7).epsilon(1e-6));
    }
    CHECK(module.weight.value().raw() == value.raw());
    CHECK(std::memcmp(value.raw(), before.raw(), 3 * size_of(dtype)) == 0);
    CHECK(module.weight.gradient().to_vector<double>() == std::vector<double>{2, 2, 2});
  }
}

TEST_CASE("ema: copy_to fills another module of the same names") {
  Single source, target;
  Ema ema(source.parameters(), 0.9);
  fill(source.weight.value(), 11);
  ema.update();
  ema.copy_to(target);
  CHECK(target.weight.value().to_vector<float>()[1] == doctest::Approx(10));
  CHECK(source.weight.value().to_vector<float>()[1] == 11);
}

TEST_CASE("ema: a state in a file goes on with the same bits as without a stop") {
  const TemporaryFolder folder;
  Single module;
  Ema straight(module.parameters(), 0.99);
  for (int step = 0; step < 20; ++step) {
    if (step == 10) write_safetensors(folder / "ema", straight.state());
    fill(module.weight.value(), value_at_step(step));
    straight.update();
  }
  Ema resumed(module.parameters(), 0.99);
  resumed.load_state(read_safetensors(folder / "ema").tensors);
  CHECK(resumed.updates() == 10);
  for (int step = 10; step < 20; ++step) {
    fill(module.weight.value(), value_at_step(step));
    resumed.update();
  }
  CHECK(resumed.averages()[0].tensor.to_vector<float>() == straight.averages()[0].tensor.to_vector<float>());
  CHECK_THROWS_WITH_AS(resumed.load_state({}),
                       "the state of the averages does not fit: it lacks weight, ema.updates", Error);
}

TEST_CASE("ema: a decay outside [0, 1) is an error") {
  Single module;
  CHECK_THROWS_AS(Ema(module.parameters(), 1), Error);
  CHECK_THROWS_AS(Ema(module.parameters(), -0.1), Error);
}

}  // namespace haze
