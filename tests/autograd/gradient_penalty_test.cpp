#include "gradients.h"

using namespace haze;
using namespace haze::testing;

namespace {

using Critic = std::function<Variable(const Variable& x, const Inputs& parameters)>;

/// Mean over the batch of (||d critic / dx|| - 1)^2 (Gulrajani et al. 2017, "Improved training of Wasserstein
/// GANs", equation 3), with epsilon inside the root.
Variable penalty(const Critic& critic, const Tensor& x, const Inputs& parameters, double epsilon = 0) {
  const Variable input = Variable::leaf(x);
  const Variable slope = gradient(sum(critic(input, parameters)), {input}, {.create_graph = true})[0];
  const Variable rows = reshape(slope, {x.size(0), x.elements() / x.size(0)});
  return mean(square(sqrt(sum(square(rows), {-1}) + epsilon) - 1));
}

/// The penalty's gradient by every parameter against central differences; and it is not 0 by all of them.
void check_penalty(const std::string& what, const Critic& critic, const Tensor& x,
                   const std::vector<Tensor>& parameters) {
  check_first(
      what, [&](const Inputs& in) { return penalty(critic, x, in); }, parameters);
  Inputs leaves;
  for (const Tensor& parameter : parameters) leaves.push_back(Variable::leaf(parameter));
  backward(penalty(critic, x, leaves));
  CHECK(global_norm(std::vector{leaves[0].gradient()}) > 1e-3);
}

/// The gradients of sum(w f), w random and fixed: by the fused rules, or as a recorded backward pass computes
/// them.
Gradients gradients_of(const DifferentiableFunction& f, const std::vector<Tensor>& inputs, bool recorded) {
  Inputs leaves;
  for (const Tensor& input : inputs) leaves.push_back(Variable::leaf(input));
  const Variable y = f(leaves);
  return gradient(sum(y * cast(random(y.shape(), 9), y.dtype())), leaves, {.create_graph = recorded});
}

void check_composition(const std::string& what, const DifferentiableFunction& f, std::vector<Tensor> inputs) {
  for (const Dtype dtype : {Dtype::float64, Dtype::float32}) {
    for (Tensor& input : inputs) input = cast(input, dtype);
    const Gradients fused = gradients_of(f, inputs, false), composed = gradients_of(f, inputs, true);
    for (size_t i = 0; i < inputs.size(); ++i) {
      INFO(what, ", ", name(dtype), ", input ", i);
      const Tensor difference = subtract(fused[i].value(), composed[i].value());
      const double error = reduce(ReduceOp::max, unary(UnaryOp::absolute, difference)).item();
      const double scale = reduce(ReduceOp::max, unary(UnaryOp::absolute, fused[i].value())).item();
      CHECK(error <= (dtype == Dtype::float64 ? 1e-14 : 4e-6) * scale);
    }
  }
}

}  // namespace

TEST_CASE("what a recorded backward pass computes for a fused operation equals its fused gradient") {
  for (const Activation activation :
       {Activation::none, Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu}) {
    check_composition("linear",
                      [=](const Inputs& in) { return linear(in[0], in[1], in[2], activation, in[3]); },
                      {random({2, 7, 4}), random({5, 4}, 2), random({5}, 3), random({2, 7, 5}, 4)});
    check_composition(
        "mlp", [=](const Inputs& in) { return mlp(in[0], in[1], in[2], in[3], in[4], activation, in[5]); },
        {random({2, 7, 4}), random({6, 4}, 2), random({6}, 3), random({3, 6}, 4), random({3}, 5),
         random({2, 7, 3}, 6)});
  }
  for (const UnaryOp op : {UnaryOp::gelu, UnaryOp::gelu_tanh, UnaryOp::silu}) {
    check_composition(name(op), [=](const Inputs& in) { return unary(op, in[0]); }, {random({3, 50})});
  }
  const std::vector<Tensor> rows{random({3, 4, 9}), random({9}, 2), random({9}, 3)};
  check_composition(
      "layer_norm", [](const Inputs& in) { return layer_norm(in[0], in[1], in[2], 1e-5); }, rows);
  check_composition("rms_norm", [](const Inputs& in) { return rms_norm(in[0], in[1], 1e-5); },
                    {rows[0], rows[1]});
  const Tensor index = int32s({1, 0, 1}, {3});
  check_composition("adaptive_layer_norm",
                    [=](const Inputs& in) { return adaptive_layer_norm(in[0], in[1], in[2], index, 1e-5); },
                    {random({3, 9}), random({2, 9}, 2), random({2, 9}, 3)});
  check_composition("gated_add", [=](const Inputs& in) { return gated_add(in[0], in[1], in[2], index); },
                    {random({3, 9}), random({2, 9}, 2), random({3, 9}, 3)});
  check_composition("group_norm", [](const Inputs& in) { return group_norm(in[0], in[1], in[2], 2, 1e-5); },
                    {random({3, 4, 3, 3}), random({4}, 2), random({4}, 3)});
  const std::vector<Tensor> attended{random({2, 5, 2, 3}), random({2, 5, 2, 3}, 2), random({2, 5, 2, 3}, 3)};
  for (const bool causal : {false, true}) {
    AttentionOptions options;
    options.causal = causal;
    options.dropout = causal ? 0.3 : 0;
    options.key_lengths = causal ? Tensor() : int32s({3, 0}, {2});
    check_composition(
        "attention",
        [=](const Inputs& in) {
          Generator generator(7);
          return attention(in[0], in[1], in[2], options, &generator);
        },
        attended);
  }
  check_composition("self_attention",
                    [](const Inputs& in) {
                      AttentionOptions packed;
                      packed.query_offsets = int32s({0, 2, 6}, {3});
                      return self_attention(in[0], packed);
                    },
                    {random({6, 3, 2, 3})});
  check_composition("cross_attention",
                    [](const Inputs& in) {
                      AttentionOptions packed;
                      packed.query_offsets = int32s({0, 2, 6}, {3});
                      packed.key_offsets = int32s({0, 4, 5}, {3});
                      return cross_attention(in[0], in[1], packed);
                    },
                    {random({6, 2, 3}), random({5, 2, 2, 3}, 2)});
  check_composition("linear_cross_entropy",
                    [](const Inputs& in) {
                      const Tensor weights = cast(float64s({1, 0.5, 0}), in[0].dtype());
                      return linear_cross_entropy(in[0], in[1], in[2], int32s({4, 0, 2}, {3}), weights).total;
                    },
                    {random({3, 4}), random({5, 4}, 2), random({5}, 3)});
  check_composition("linear_cross_entropy, a row ignored",
                    [](const Inputs& in) {
                      return linear_cross_entropy(in[0], in[1], in[2], int32s({4, 0, 2}, {3}), {}, 0).total;
                    },
                    {random({3, 4}), random({5, 4}, 2), random({5}, 3)});
  check_composition("projected_loss",
                    [](const Inputs& in) {
                      const Tensor weights = cast(float64s({1, 0.5, 0}), in[0].dtype());
                      const RowLoss squares = [scale = in[3]](const Variable& logits, int64_t, int64_t) {
                        return sum(square(softmax(logits * scale)), {1});
                      };
                      return projected_loss(in[0], in[1], in[2], squares, weights).total;
                    },
                    {random({3, 4}), random({5, 4}, 2), random({5}, 3), random({5}, 4)});
  check_composition("softmax", [](const Inputs& in) { return softmax(in[0]); }, {rows[0]});
  check_composition("log_softmax", [](const Inputs& in) { return log_softmax(in[0]); }, {rows[0]});
}

TEST_CASE("the penalty of a linear critic and its gradient are those of the closed form") {
  // D(x) = w x: the penalty is (|w| - 1)^2, its gradient 2 (|w| - 1) w / |w|.
  const Variable w = Variable::leaf(Tensor::from<double>({3, -4}, {1, 2}));
  const Variable value =
      penalty([](const Variable& x, const Inputs& in) { return linear(x, in[0]); }, random({5, 2}), {w});
  CHECK(value.value().item() == doctest::Approx(16).epsilon(1e-14));
  CHECK_FALSE(w.gradient().defined());  // the gradient inside the penalty leaves parameters alone
  backward(value);
  CHECK(w.gradient().at({0, 0}) == doctest::Approx(2 * 4 * 0.6).epsilon(1e-14));
  CHECK(w.gradient().at({0, 1}) == doctest::Approx(2 * 4 * -0.8).epsilon(1e-14));
}

TEST_CASE("a gradient penalty on a network of points can be differentiated by its parameters") {
  const Tensor x = random({4, 3});
  const std::vector<Tensor> parameters{random({5, 3}, 2), random({5}, 3),    random({5, 5}, 4),
                                       random({5}, 5),    random({1, 5}, 6), random({1}, 7)};
  for (const Activation activation :
       {Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu}) {
    const auto critic = [=](const Variable& points, const Inputs& in) {
      const Variable h = linear(points, in[0], in[1], activation);
      return linear(linear(h, in[2], in[3], activation, h), in[4], in[5]);
    };
    check_penalty("linear with an activation", critic, x, parameters);
    const auto block = [=](const Variable& points, const Inputs& in) {
      return mlp(points, in[0], in[1], in[2], {}, activation);
    };
    check_penalty("mlp", block, x, {parameters[0], parameters[1], parameters[4]});
  }
  for (const UnaryOp op : {UnaryOp::tanh, UnaryOp::silu, UnaryOp::gelu, UnaryOp::softplus}) {
    const auto critic = [=](const Variable& points, const Inputs& in) {
      return linear(unary(op, linear(points, in[0], in[1])), in[4], in[5]);
    };
    check_penalty(name(op), critic, x, parameters);
  }
  const auto leaky = [](const Variable& points, const Inputs& in) {
    const Variable h = leaky_relu(linear(points, in[0], in[1]));
    return linear(leaky_relu(linear(h, in[2], in[3])), in[4], in[5]);
  };
  check_penalty("linear and leaky ReLU", leaky, x, parameters);
  const auto normed = [](const Variable& points, const Inputs& in) {
    const Variable h = layer_norm(linear(points, in[0], in[1], Activation::silu), in[3], in[1], 1e-3);
    return linear(rms_norm(linear(h, in[2], {}, Activation::silu), in[3], 1e-3), in[4], in[5]);
  };
  check_penalty("layer norm and RMS norm", normed, x, parameters);
}

TEST_CASE("a gradient penalty through attention, norms, an MLP and cross-entropy can be differentiated") {
  // The classifier of a small transformer: its loss is made flat around the points of x [6, 4].
  const auto critic = [](const Variable& rows, const Inputs& in) {
    AttentionOptions packed;
    packed.query_offsets = int32s({0, 2, 6}, {3});
    packed.causal = true;
    const Variable qkv = reshape(linear(layer_norm(rows, in[0], in[1], 1e-2), in[2]), {6, 3, 2, 2});
    const Variable mixed =
        linear(reshape(self_attention(qkv, packed), {6, 4}), in[3], in[1], Activation::none, rows);
    const Variable h = mlp(rms_norm(mixed, in[0], 1e-2), in[4], {}, in[5], {}, Activation::gelu, mixed);
    const Tensor targets = int32s({0, 4, 1, 1, 2, 3}, {6});
    return linear_cross_entropy(h, in[6], {}, targets, ones({6}, Dtype::float64)).total;
  };
  check_penalty("transformer", critic, random({6, 4}),
                {random({4}, 2), random({4}, 3), random({12, 4}, 4), random({4, 4}, 5), random({6, 4}, 6),
                 random({4, 6}, 7), random({5, 4}, 8)});
}

TEST_CASE("a gradient penalty has second derivatives by the parameters: third derivatives of the network") {
  const auto critic = [](const Variable& points, const Inputs& in) {
    const Variable h = layer_norm(linear(points, in[0], in[1], Activation::silu), in[1], {}, 1e-2);
    return mlp(h, in[2], {}, in[3], {}, Activation::gelu);
  };
  check_first_and_second("third",
                         [&](const Inputs& in) {
                           return penalty(critic, random({2, 2}), in);
                         },
                         {random({3, 2}, 2), random({3}, 3), random({3, 3}, 4), random({1, 3}, 5)});
}

TEST_CASE("a gradient penalty on a convolutional critic can be differentiated by its parameters") {
  // [2, 1, 8, 8] -> 4 channels of 4 x 4 -> 4 channels of 4 x 4 -> pooled to 2 x 2 -> a number
  const Tensor x = random({2, 1, 8, 8});
  const std::vector<Tensor> parameters{random({4, 1, 3, 3}, 2), random({4}, 3), random({4, 4, 3, 3}, 4),
                                       random({4}, 5),          random({4}, 6), random({1, 16}, 7)};
  const auto critic = [](const auto& activate, bool normed) {
    return [=](const Variable& images, const Inputs& in) {
      Variable h = activate(conv2d(images, in[0], in[1], 2, 1));
      h = conv2d(h, in[2], in[3], 1, 1) * 0.3;
      if (normed) h = group_norm(h, in[4], {}, 2, 1e-3);
      h = average_pool(activate(h), 2);
      return linear(reshape(h, {h.size(0), 16}), in[5]);
    };
  };
  const auto leaky = [](const Variable& h) { return leaky_relu(h); };
  const auto smooth = [](const Variable& h) { return silu(h); };
  check_penalty("leaky ReLU", critic(leaky, false), x, parameters);
  check_penalty("SiLU", critic(smooth, false), x, parameters);
  check_penalty("group norm", critic(smooth, true), x, parameters);
}

TEST_CASE("a gradient penalty on a small U-Net can be differentiated by its parameters") {
  const auto critic = [](const Variable& images, const Inputs& in) {
    const Variable fine = silu(group_norm(conv2d(images, in[0], in[1], 1, 1), {}, in[2], 1, 1e-3));
    const Variable coarse = silu(conv2d(average_pool(fine, 2), in[3], {}, 1, 1));
    return conv2d(concat({upsample(coarse, 2), fine}, 1), in[4], {}, 1, 1);
  };
  check_penalty("U-Net", critic, random({2, 1, 4, 4}),
                {random({2, 1, 3, 3}, 2), random({2}, 3), random({2}, 4), random({2, 2, 3, 3}, 5),
                 random({1, 4, 3, 3}, 6)});
}

TEST_CASE("where a critic is flat the penalty's gradient is NaN without an epsilon inside the root") {
  const Critic flat = [](const Variable& x, const Inputs& in) {
    return linear(relu(linear(x, in[0], in[1])), in[2]);
  };
  const auto gradient_with = [&](double epsilon) {
    const Variable bias = Variable::leaf(full({5}, -100, Dtype::float64));  // every unit is off
    const Variable weight = Variable::leaf(random({5, 3}, 2)), last = Variable::leaf(random({1, 5}, 3));
    const Variable value = penalty(flat, random({4, 3}), {weight, bias, last}, epsilon);
    CHECK(value.value().item() == doctest::Approx(1).epsilon(1e-5));
    backward(value);
    return std::vector{weight.gradient(), last.gradient()};
  };
  CHECK_FALSE(all_finite(gradient_with(0)[0]));
  for (const Tensor& g : gradient_with(1e-12)) CHECK(global_norm(std::vector{g}) == 0);
}
