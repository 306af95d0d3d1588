#include "autograd/gradients.h"

using namespace haze;
using namespace haze::testing;

namespace {

constexpr int64_t kRows = 12, kWidth = 16, kHeads = 2, kInner = 32, kVocabulary = 10;

struct Parameters {
  Variable embedding, norm_weight, norm_bias, qkv, qkv_bias, out, second_norm, up, up_bias, down, head;

  // Random numbers that bfloat16 holds, as leaves of `dtype`.
  explicit Parameters(Dtype dtype) {
    uint64_t seed = 0;
    const auto leaf = [&](const Shape& shape, double scale) {
      const Tensor x = scale_shift(random(shape, ++seed), scale, 0);
      return Variable::leaf(cast(cast(x, Dtype::bfloat16), dtype));
    };
    embedding = leaf({kVocabulary, kWidth}, 1);
    norm_weight = leaf({kWidth}, 1), norm_bias = leaf({kWidth}, 0.5);
    qkv = leaf({3 * kWidth, kWidth}, 0.3), qkv_bias = leaf({3 * kWidth}, 0.3);
    out = leaf({kWidth, kWidth}, 0.3), second_norm = leaf({kWidth}, 1);
    up = leaf({kInner, kWidth}, 0.3), up_bias = leaf({kInner}, 0.3), down = leaf({kWidth, kInner}, 0.2);
    head = leaf({kVocabulary, kWidth}, 0.3);
  }
  std::vector<Variable> all() const {
    return {embedding, norm_weight, norm_bias, qkv, qkv_bias, out, second_norm, up, up_bias, down, head};
  }
};

// A block of a transformer and the cross-entropy of its predictions.
Variable loss(const Parameters& p) {
  std::vector<int32_t> ids(kRows), targets(kRows);
  for (int32_t i = 0; i < kRows; ++i) ids[i] = i * 7 % kVocabulary, targets[i] = i * 3 % kVocabulary;
  const Variable x = embedding(p.embedding, Tensor::from(ids, {kRows}));
  const Variable qkv = linear(layer_norm(x, p.norm_weight, p.norm_bias, 1e-5), p.qkv, p.qkv_bias);
  AttentionOptions causal;
  causal.causal = true;
  causal.query_offsets = int32s({0, 5, kRows}, {3});
  const Variable heads = self_attention(reshape(qkv, {kRows, 3, kHeads, kWidth / kHeads}), causal);
  const Variable y = linear(reshape(heads, {kRows, kWidth}), p.out, {}, Activation::none, x);
  const Variable z = mlp(rms_norm(y, p.second_norm, 1e-5), p.up, p.up_bias, p.down, {}, Activation::gelu, y);
  return linear_cross_entropy(z, p.head, {}, Tensor::from(targets, {kRows}), {}).total * (1.0 / kRows);
}

// |x - y| / |y|
double relative_difference(const Tensor& x, const Tensor& y) {
  const Tensor a = cast(x, Dtype::float64), b = cast(y, Dtype::float64);
  return global_norm(std::vector<Tensor>{subtract(a, b)}) / global_norm(std::vector<Tensor>{b});
}

}  // namespace

TEST_CASE("a block of a transformer in bfloat16 has float32's loss and gradients, to a few roundings") {
  const Parameters narrow(Dtype::bfloat16), wide(Dtype::float32);
  const Variable narrow_loss = loss(narrow), wide_loss = loss(wide);
  CHECK(narrow_loss.dtype() == Dtype::float32);
  CHECK(narrow_loss.value().item() == doctest::Approx(wide_loss.value().item()).epsilon(0.01));
  backward(narrow_loss);
  backward(wide_loss);
  const std::vector<Variable> got = narrow.all(), want = wide.all();
  for (size_t i = 0; i < got.size(); ++i) {
    INFO("parameter ", i);
    CHECK(got[i].gradient().dtype() == Dtype::bfloat16);
    CHECK(relative_difference(got[i].gradient(), want[i].gradient()) < 4 * 0x1p-8);
  }
}

TEST_CASE("a gradient penalty in bfloat16 has float32's gradients, to the roundings of two passes") {
  const auto penalty = [](const Parameters& p) {
    const Gradients d = gradient(loss(p), {p.embedding, p.up}, {.create_graph = true});
    const auto square = [](const Variable& x) { return sum(cast(x * x, Dtype::float32)); };
    backward(square(d[0]) + square(d[1]));
  };
  const Parameters narrow(Dtype::bfloat16), wide(Dtype::float32);
  penalty(narrow);
  penalty(wide);
  const std::vector<Variable> got = narrow.all(), want = wide.all();
  for (size_t i = 0; i < got.size(); ++i) {
    INFO("parameter ", i);
    CHECK(relative_difference(got[i].gradient(), want[i].gradient()) < 8 * 0x1p-8);
  }
}

TEST_CASE("the gradient of a bfloat16 value that is used many times is added up in float32") {
  const Variable x = Variable::leaf(ones({2}, Dtype::bfloat16));
  const Variable y = x * 1.0;  // not a leaf
  Variable total = y + y;
  for (int use = 2; use < 400; ++use) total = total + y;
  backward(sum(cast(total, Dtype::float32)));
  CHECK(x.gradient().dtype() == Dtype::bfloat16);
  CHECK(x.gradient().to_vector<double>() == std::vector<double>{400, 400});  // bfloat16 would stop at 256
}

TEST_CASE("norms, softmax, attention and group norm of bfloat16 agree with float32 in both passes") {
  struct Case {
    const char* what;
    DifferentiableFunction f;
    std::vector<Shape> shapes;
  };
  AttentionOptions dropped;
  dropped.dropout = 0.25;
  const std::vector<Case> cases = {
      {"layer_norm",
       [](const Inputs& in) { return layer_norm(in[0], in[1], in[2], 1e-5); },
       {{6, 9}, {9}, {9}}},
      {"rms_norm", [](const Inputs& in) { return rms_norm(in[0], in[1], 1e-5); }, {{6, 9}, {9}}},
      {"group_norm",
       [](const Inputs& in) { return group_norm(in[0], in[1], in[2], 2, 1e-5); },
       {{2, 4, 5}, {4}, {4}}},
      {"softmax", [](const Inputs& in) { return softmax(in[0]); }, {{5, 7}}},
      {"log_softmax", [](const Inputs& in) { return log_softmax(in[0], 0); }, {{5, 7}}},
      {"logsumexp", [](const Inputs& in) { return reduce(ReduceOp::logsumexp, in[0], {1}); }, {{5, 7}}},
      {"variance", [](const Inputs& in) { return reduce(ReduceOp::variance, in[0], {1}); }, {{5, 7}}},
      {"gelu", [](const Inputs& in) { return unary(UnaryOp::gelu, in[0]); }, {{5, 7}}},
      {"divide", [](const Inputs& in) { return in[0] / (in[1] * in[1] + 1); }, {{5, 7}, {7}}},
      {"attention",
       [=](const Inputs& in) {
         Generator generator(3);
         return attention(in[0], in[1], in[2], dropped, &generator);
       },
       {{2, 5, 4, 8}, {2, 6, 2, 8}, {2, 6, 2, 8}}}};
  for (const Case& c : cases) {
    Inputs narrow, wide;
    for (size_t i = 0; i < c.shapes.size(); ++i) {
      const Tensor x = cast(random(c.shapes[i], i + 1), Dtype::bfloat16);
      narrow.push_back(Variable::leaf(x));
      wide.push_back(Variable::leaf(cast(x, Dtype::float32)));
    }
    const Variable y = c.f(narrow), z = c.f(wide);
    const Tensor seed = cast(random(y.shape(), 9), Dtype::bfloat16);
    backward(y, seed);
    backward(z, cast(seed, Dtype::float32));
    INFO(c.what);
    CHECK(y.dtype() == Dtype::bfloat16);
    CHECK(relative_difference(y.value(), z.value()) < 0x1p-8);
    for (size_t i = 0; i < narrow.size(); ++i) {
      INFO("input ", i);
      CHECK(narrow[i].gradient().dtype() == Dtype::bfloat16);
      CHECK(relative_difference(narrow[i].gradient(), wide[i].gradient()) < 4 * 0x1p-8);
    }
  }
}
