#include "gradients.h"

using namespace haze;
using namespace haze::testing;

namespace {

/// x, with `events` told when its gradient is computed.
Variable observed(const Variable& x, const std::string& event, std::vector<std::string>& events) {
  return Tape::record("observed", x.value(), {x}, [&events, event](const Variable& g) {
    events.push_back(event);
    return Gradients{g};
  });
}

}  // namespace

TEST_CASE(
    "a hook that writes to its gradient, and results of gradient() that are written to, change no other") {
  const Variable x = Variable::leaf(ones({3})), y = Variable::leaf(ones({3}));
  const Tensor two = full({3}, 2);
  const Gradients apart = gradient(sum((x + y) * two), {x, y});
  fill(apart[0].value(), 7);
  CHECK(apart[1].value().to_vector<float>() == std::vector<float>(3, 2));
  x.on_gradient([](const Tensor& g) { copy_into(g, scale_shift(g, 0.5, 0)); });
  const Gradients g = gradient(sum((x + y) * two), {x, y});
  CHECK(g[0].value().to_vector<float>() == std::vector<float>(3, 1));
  CHECK(g[1].value().to_vector<float>() == std::vector<float>(3, 2));
}

TEST_CASE("a leaf's hook is called when the last operation that feeds it has run, before the pass goes on") {
  const Variable x = Variable::leaf(random({4})), late = Variable::leaf(random({4}, 2));
  const Variable early = Variable::leaf(random({4}, 3)), twice = Variable::leaf(random({4}, 4));
  std::vector<std::string> events;
  const auto tell = [&](const Variable& leaf, const std::string& event) {
    leaf.on_gradient([&events, event](const Tensor&) { events.push_back(event); });
  };
  tell(early, "early complete");
  tell(twice, "twice complete");
  tell(late, "late complete");
  tell(x, "x complete");
  // The backward pass goes third, second, first; `late`, used last, is complete first.
  const Variable a = observed(x * early * twice, "first", events);
  const Variable b = observed(a * twice, "second", events);
  backward(sum(observed(b * late, "third", events)));
  CHECK(events == std::vector<std::string>{"third", "late complete", "second", "first", "twice complete",
                                           "x complete", "early complete"});
}

TEST_CASE("a leaf that an operation without a gradient for it also uses is complete all the same") {
  const Variable x = Variable::leaf(random({4}));
  const Variable unused =
      Tape::record("unused", square(x).value(), {x}, [](const Variable&) { return Gradients(1); });
  int calls = 0;
  x.on_gradient([&](const Tensor& g) {
    ++calls;
    CHECK(g.to_vector<double>() == std::vector<double>(4, 3));
  });
  backward(sum(x * 3.0 + square(unused)));
  CHECK(calls == 1);
  CHECK(x.gradient().to_vector<double>() == std::vector<double>(4, 3));
}

TEST_CASE("a leaf's hook may write to the gradient, and is called once in a pass") {
  const Variable x = Variable::leaf(float64s({1, 2}));
  int calls = 0;
  x.on_gradient([&](const Tensor& g) {
    ++calls;
    copy_into(g, scale_shift(g, 0.5, 0));
  });
  const auto run = [&] { backward(sum(square(x) + x * 2.0)); };
  run();
  CHECK(calls == 1);
  CHECK(x.gradient().to_vector<double>() == std::vector<double>{2, 3});
  run();
  CHECK(calls == 2);
  CHECK(x.gradient().to_vector<double>() == std::vector<double>{4, 6});
}

TEST_CASE("the hook of a parameter that checkpoints use is called once, with the whole gradient") {
  const Variable x = Variable::leaf(random({3, 4})), w = Variable::leaf(random({4, 4}, 2));
  const auto loss = [&](bool checkpointed) {
    const auto layer = [w](const Inputs& in, Generator*) { return linear(in[0], w, {}, Activation::silu); };
    Variable y = x;
    for (int i = 0; i < 3; ++i) y = checkpointed ? checkpoint(layer, {y}) : layer({y}, nullptr);
    return sum(matmul(y, w));
  };
  const Tensor expected = gradient(loss(false), {w})[0].value();
  std::vector<std::vector<double>> seen;
  w.on_gradient([&](const Tensor& g) { seen.push_back(g.to_vector<double>()); });
  backward(loss(true));
  REQUIRE(seen.size() == 1);
  CHECK(seen[0] == w.gradient().to_vector<double>());
  CHECK(global_norm(std::vector{subtract(expected, w.gradient())}) < 1e-12);
}

TEST_CASE("a hook may run a backward pass of its own over the same leaves") {
  const Variable x = Variable::leaf(float64s({1, 2}));
  const Variable y = x * 3.0, z = sum(square(x));
  std::vector<double> inner;
  y.on_gradient([&](const Tensor&) { inner = gradient(z, {x})[0].value().to_vector<double>(); });
  backward(sum(square(y) + x));  // d = 18 x + 1
  CHECK(inner == std::vector<double>{2, 4});
  CHECK(x.gradient().to_vector<double>() == std::vector<double>{19, 37});
}
