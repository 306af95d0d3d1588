#include "gradients.h"

using namespace haze;
using namespace haze::testing;

namespace {

/// What backward(sum(y)) says where `changed` is written to between the forward and the backward pass.
std::string complaint(const Variable& y, const Tensor& changed) {
  fill(changed, 1);
  return error_of([&] { backward(sum(y)); });
}

std::string changed(const std::string& operation, const std::string& role) {
  return operation + ": its saved " + role + " was changed in place by fill before the backward pass";
}

}  // namespace

TEST_CASE("a saved value that was changed in place is an error that names both operations") {
  const Variable x = Variable::leaf(random({3, 4})), w = Variable::leaf(random({5, 4}, 2));
  const Variable row = Variable::leaf(random({4}, 3));
  CHECK(complaint(square(x), x.value()) == changed("square", "x"));
  CHECK(complaint(x * row, x.value()) == changed("multiply", "x"));
  CHECK(complaint(x * row, row.value()) == changed("multiply", "y"));
  CHECK(complaint(linear(x, w), w.value()) == changed("linear", "weight"));
  CHECK(complaint(linear(x, w), x.value()) == changed("linear", "x"));
  CHECK(complaint(layer_norm(x, row, {}, 1e-5), row.value()) == changed("layer_norm", "weight"));
  CHECK(complaint(reduce(ReduceOp::logsumexp, x), x.value()) == changed("logsumexp", "x"));
  const Variable query = Variable::leaf(random({1, 3, 2, 4})), key = Variable::leaf(random({1, 3, 2, 4}, 2));
  CHECK(complaint(attention(query, key, key, {}), query.value()) == changed("attention", "query"));
  const Variable image = Variable::leaf(random({1, 2, 4, 4})),
                 kernel = Variable::leaf(random({3, 2, 3, 3}, 2));
  CHECK(complaint(conv2d(image, kernel, {}), kernel.value()) == changed("conv2d", "weight"));
  const Tensor ids = int32s({0, 2}, {2});
  CHECK(complaint(embedding(x, ids), ids) == changed("embedding", "ids"));
  const Tensor mask = Tensor::from<uint8_t>({1, 0, 1, 1}, {4});
  CHECK(complaint(where(mask, x, row), mask) == changed("where", "condition"));
}

TEST_CASE("every operation that works in place is seen and named") {
  const Tensor moments = zeros({3, 3}, Dtype::float64), other = random({3, 3}, 2),
               rows = int32s({2, 0, 1}, {3});
  struct Change {
    const char* name;
    std::function<void(const Tensor&)> apply;
  };
  const Change changes[] = {
      {"fill", [](const Tensor& x) { fill(x, 100); }},
      {"add", [&](const Tensor& x) { add_into(x, other); }},
      {"copy", [&](const Tensor& x) { copy_into(x, other); }},
      {"index_add_into", [&](const Tensor& x) { index_add_into(x, 0, rows, other); }},
      {"matmul_into", [&](const Tensor& x) { matmul_into(x, other, other); }},
      {"adamw",
       [&](const Tensor& x) {
         const AdamWSlot slot{x, other, moments, clone(moments)};
         adamw_step(std::span(&slot, 1), {});
       }},
  };
  for (const Change& change : changes) {
    const Variable x = Variable::leaf(random({3, 3}));
    const Variable y = sum(square(x));
    change.apply(x.value());
    CHECK(error_of([&] { backward(y); }) == std::string("square: its saved x was changed in place by ") +
                                                change.name + " before the backward pass");
  }
}

TEST_CASE("a result that its own rule reads may not be changed either") {
  const Variable x = Variable::leaf(random({3, 4}));
  for (const UnaryOp op : {UnaryOp::exp, UnaryOp::tanh, UnaryOp::relu}) {
    const Variable y = unary(op, x);
    CHECK(complaint(y * 2, y.value()) == changed(name(op), "result"));
  }
  const Variable y = softmax(x);
  CHECK(complaint(y, y.value()) == changed("softmax", "result"));
}

TEST_CASE("a write to a view of a saved value is a change of it") {
  const Tensor memory = random({3, 4});
  const Variable x = Variable::leaf(memory);
  CHECK(complaint(square(x), slice(memory, 0, 0, 1)) == changed("square", "x"));
}

TEST_CASE("what no rule reads may be changed before the backward pass") {
  const Variable x = Variable::leaf(random({3, 4})), w = Variable::leaf(random({5, 4}, 2));
  CHECK(complaint(x + x, x.value()).empty());
  CHECK(complaint(x * 3.0, x.value()).empty());
  // x gets the gradient w needs none for: x itself is not read
  CHECK(complaint(linear(x, w.detach()), x.value()).empty());
  CHECK(complaint(linear(x.detach(), w), w.value()).empty());
  const Variable y = square(x);
  CHECK(complaint(y * 2, y.value()).empty());
  // a change before the operation, and one after the backward pass
  const Variable fresh = Variable::leaf(random({3, 4}));
  fill(fresh.value(), 2);
  backward(sum(square(fresh)));
  fill(fresh.value(), 3);
  CHECK(fresh.gradient().to_vector<double>() == std::vector<double>(12, 4));
}

TEST_CASE("gradient() of one input does not mind a change of what only another's gradient reads") {
  const Variable x = Variable::leaf(random({3, 4})), w = Variable::leaf(random({5, 4}, 2));
  const Variable y = sum(linear(x, w));
  fill(x.value(), 1);  // read for w's gradient alone
  CHECK(error_of([&] { gradient(y, {x}, {.retain_graph = true}); }).empty());
  CHECK(error_of([&] { gradient(y, {w}); }) == changed("linear", "x"));
}

TEST_CASE("a saved value that was changed before a recorded or a repeated backward pass is an error") {
  const Variable x = Variable::leaf(random({3, 4})), w = Variable::leaf(random({5, 4}, 2));
  for (const bool recorded : {false, true}) {
    const Variable y = sum(mlp(x, w, {}, transpose(w), {}, Activation::silu));
    gradient(y, {x, w}, {.create_graph = recorded, .retain_graph = true});
    w.value().storage().mark_written("adamw");
    CHECK(error_of([&] {
            gradient(y, {x, w}, {.create_graph = recorded});
          }) == "mlp: its saved down_weight was changed in place by adamw before the backward pass");
  }
  const Variable slope = gradient(sum(unary(UnaryOp::power, x, 3)), {x}, {.create_graph = true})[0];
  CHECK(complaint(slope, x.value()) == changed("power", "x"));
}

TEST_CASE("a checkpoint refuses to run again with an input or a parameter that was changed") {
  const Variable x = Variable::leaf(random({3, 4})), w = Variable::leaf(random({4, 4}, 2));
  const auto layer = [&](const Inputs& in, Generator*) { return linear(in[0], w); };
  CHECK(complaint(checkpoint(layer, {x}), x.value()) == changed("checkpoint", "input"));
  CHECK(complaint(checkpoint(layer, {x}), w.value()) == changed("checkpoint", "parameter"));
}

TEST_CASE("the gradients of leaves share no memory with each other, the seed or what was saved") {
  const Variable a = Variable::leaf(random({3, 4})), b = Variable::leaf(random({3, 4}, 2));
  const Variable c = Variable::leaf(random({3, 4}, 3));
  const Tensor seed = random({3, 4}, 4), factor = random({3, 4}, 5);
  const auto write = [](const Variable& leaf) { fill(leaf.gradient(), 100); };
  backward(a + b - c, seed);  // all get the seed or its negative
  const std::vector<double> expected = seed.to_vector<double>();
  write(a);
  CHECK(b.gradient().to_vector<double>() == expected);
  CHECK(seed.to_vector<double>() == expected);
  write(b);
  CHECK(c.gradient().to_vector<double>() == scale_shift(seed, -1, 0).to_vector<double>());
  CHECK(seed.to_vector<double>() == expected);

  // The leaf itself as the root; a rule that returns its gradient's view; parts of one gradient.
  const Variable d = Variable::leaf(random({3, 4}));
  backward(d, seed);
  write(d);
  CHECK(seed.to_vector<double>() == expected);
  const Variable e = Variable::leaf(random({2, 4})), f = Variable::leaf(random({1, 4}));
  backward(concat({e, f}, 0), seed);
  write(e);
  CHECK(f.gradient().to_vector<double>() == slice(seed, 0, 2, 3).to_vector<double>());
  CHECK(seed.to_vector<double>() == expected);

  // A factor as the gradient: 1 factor is a new tensor, and what was handed in stays.
  const Variable h = Variable::leaf(random({3, 4}));
  const Variable y = sum(h * factor);
  backward(y, {}, {.retain_graph = true});
  const std::vector<double> once = h.gradient().to_vector<double>();
  write(h);
  CHECK(factor.to_vector<double>() == once);
}

TEST_CASE("a leaf takes over a gradient that nothing else holds") {
  const Variable w = Variable::leaf(random({64, 64}));
  const Variable y = sum(linear(random({8, 64}, 2), w));
  const void* seen = nullptr;
  w.on_gradient([&](const Tensor& g) { seen = g.storage().data(); });
  backward(y);
  CHECK(seen == w.gradient().storage().data());
}
