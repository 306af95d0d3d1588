#include <fstream>
#include <map>
#include <regex>
#include <set>

#include "gpus.h"
#include "gradients.h"

using namespace haze;
using namespace haze::testing;

namespace {

struct Row {
  std::string operation;  // as it is declared in autograd/ops.h
  DifferentiableFunction f;
  std::vector<Tensor> inputs;
};

/// A constant of a row on the device of the row's inputs.
Tensor beside(const Inputs& in, const Tensor& constant) {
  return constant.defined() ? to(constant, in[0].device()) : constant;
}

AttentionOptions beside(const Inputs& in, AttentionOptions options) {
  for (Tensor* x : {&options.causal_offsets, &options.key_lengths, &options.block_mask,
                    &options.query_offsets, &options.key_offsets, &options.pair_mask}) {
    *x = beside(in, *x);
  }
  return options;
}

Tensor positive(const Shape& shape, uint64_t seed = 1) {
  return random_between(0.5, 2, shape, seed);
}

std::vector<Row> view_rows() {
  const Tensor x = random({3, 4});
  return {
      {"reshape",
       [](const Inputs& in) {
         return reshape(in[0], {2, 6});
       },
       {x}},
      {"transpose", [](const Inputs& in) { return transpose(in[0]); }, {x}},
      {"permute",
       [](const Inputs& in) {
         return permute(in[0], {2, 0, 1});
       },
       {random({2, 3, 2})}},
      {"slice", [](const Inputs& in) { return slice(in[0], 1, 1, 4, 2); }, {x}},
      {"expand",
       [](const Inputs& in) {
         return expand(in[0], {2, 3});
       },
       {random({3})}},
      {"unsqueeze", [](const Inputs& in) { return unsqueeze(in[0], 1); }, {x}},
      {"contiguous", [](const Inputs& in) { return contiguous(transpose(in[0])); }, {x}},
      {"cast",
       [](const Inputs& in) {
         // float32 rounds what central differences tell apart: its gradients pass through both casts
         return in[0] * square(cast(cast(zeros_like(in[0].value()), Dtype::float32), Dtype::float64)) +
                cast(in[0], Dtype::float64);
       },
       {x}},
      {"pad", [](const Inputs& in) { return pad(in[0], 1, 2, 1, 0.5); }, {x}},
      {"concat",
       [](const Inputs& in) {
         return concat({in[0], in[1]}, 1);
       },
       {x, random({3, 2}, 2)}},
  };
}

std::vector<Row> elementwise_rows() {
  std::vector<Row> rows;
  for (int i = 0; i < static_cast<int>(UnaryOp::kCount); ++i) {
    const auto op = static_cast<UnaryOp>(i);
    rows.push_back({"unary",
                    [op](const Inputs& in) { return unary(op, in[0], 0.5, 0.6); },
                    {random_between(0.2, 0.8, {5})}});
  }
  for (int i = 0; i < static_cast<int>(BinaryOp::kCount); ++i) {
    const auto op = static_cast<BinaryOp>(i);
    rows.push_back({"binary",
                    [op](const Inputs& in) { return binary(op, in[0], in[1]); },
                    {random({2, 3}), positive({3}, 2)}});
  }
  const std::map<std::string, Variable (*)(const Variable&)> named{
      {"exp", exp},   {"log", log},   {"sqrt", sqrt}, {"square", square},       {"tanh", tanh},
      {"relu", relu}, {"gelu", gelu}, {"silu", silu}, {"gelu_tanh", gelu_tanh}, {"sigmoid", sigmoid}};
  for (const auto& [name, f] : named) {
    rows.push_back({name, [f = f](const Inputs& in) { return f(in[0]); }, {positive({5})}});
  }
  const std::map<std::string, Variable (*)(const Variable&, const Variable&)> of_two{
      {"add", add}, {"subtract", subtract}, {"multiply", multiply}, {"divide", divide}};
  for (const auto& [name, f] : of_two) {
    rows.push_back(
        {name, [f = f](const Inputs& in) { return f(in[0], in[1]); }, {random({2, 3}), positive({3}, 2)}});
  }
  rows.push_back({"leaky_relu", [](const Inputs& in) { return leaky_relu(in[0]); }, {random({5})}});
  rows.push_back({"scale_shift", [](const Inputs& in) { return scale_shift(in[0], 2, 1); }, {random({5})}});
  rows.push_back({"where",
                  [](const Inputs& in) {
                    return where(beside(in, Tensor::from<uint8_t>({1, 0, 1}, {3})), in[0], in[1]);
                  },
                  {random({2, 3}), random({3}, 2)}});
  rows.push_back({"dropout",
                  [](const Inputs& in) {
                    Generator generator(1);
                    return dropout(in[0], 0.4, generator);
                  },
                  {random({8})}});
  return rows;
}

std::vector<Row> reduction_rows() {
  std::vector<Row> rows;
  const Tensor x = random({2, 3, 4});
  for (int i = 0; i < static_cast<int>(ReduceOp::kCount); ++i) {
    const auto op = static_cast<ReduceOp>(i);
    for (const Shape& axes : {Shape{}, Shape{1}, Shape{0, -1}}) {
      rows.push_back({"reduce", [=](const Inputs& in) { return reduce(op, in[0], axes); }, {x}});
    }
  }
  rows.push_back({"sum", [](const Inputs& in) { return sum(in[0], {1}); }, {x}});
  rows.push_back({"mean", [](const Inputs& in) { return mean(in[0], {1}); }, {x}});
  rows.push_back({"sum_to", [](const Inputs& in) { return sum_to(in[0], {3, 1}); }, {x}});
  rows.push_back({"softmax", [](const Inputs& in) { return softmax(in[0]); }, {x}});
  rows.push_back({"log_softmax", [](const Inputs& in) { return log_softmax(in[0]); }, {x}});
  rows.push_back({"cumulative_sum", [](const Inputs& in) { return cumulative_sum(in[0], 1); }, {x}});
  rows.push_back({"sort", [](const Inputs& in) { return sort(in[0]).first; }, {x}});
  rows.push_back({"top_k", [](const Inputs& in) { return top_k(in[0], 2).first; }, {x}});
  return rows;
}

std::vector<Row> product_rows() {
  const Tensor x = random({4, 3}), weight = random({5, 3}, 2), bias = random({5}, 3);
  std::vector<Row> rows{{"matmul",
                         [](const Inputs& in) { return matmul(in[0], in[1]); },
                         {random({2, 3, 4}), random({4, 2}, 2)}}};
  for (const Activation activation :
       {Activation::none, Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu}) {
    rows.push_back({"linear",
                    [=](const Inputs& in) { return linear(in[0], in[1], in[2], activation, in[3]); },
                    {x, weight, bias, random({4, 5}, 4)}});
    rows.push_back(
        {"mlp",
         [=](const Inputs& in) { return mlp(in[0], in[1], in[2], in[3], in[4], activation, in[5]); },
         {x, weight, bias, random({2, 5}, 4), random({2}, 5), random({4, 2}, 6)}});
  }
  rows.push_back({"linear_cross_entropy",
                  [](const Inputs& in) {
                    return linear_cross_entropy(in[0], in[1], in[2], beside(in, int32s({4, 0, 2, 2}, {4})),
                                                beside(in, float64s({1, 0.5, 0, 2})))
                        .total;
                  },
                  {x, weight, bias}});
  rows.push_back({"linear_cross_entropy",
                  [](const Inputs& in) {
                    return linear_cross_entropy(in[0], in[1], in[2], beside(in, int32s({4, -1, 2, -1}, {4})),
                                                beside(in, float64s({1, 0.5, 0, 2})), -1)
                        .total;
                  },
                  {x, weight, bias}});
  rows.push_back(
      {"projected_loss",
       [](const Inputs& in) {
         const RowLoss squares = [scale = in[3]](const Variable& logits, int64_t, int64_t) {
           return sum(square(softmax(logits * scale)), {1});
         };
         return projected_loss(in[0], in[1], in[2], squares, beside(in, float64s({1, 0.5, 0, 2}))).total;
       },
       {x, weight, bias, random({5}, 4)}});
  rows.push_back({"soft_cross_entropy",
                  [](const Inputs& in) {
                    const RowTargets targets = [q = softmax(in[3])](int64_t first, int64_t last) {
                      return slice(q, 0, first, last);
                    };
                    return soft_cross_entropy(in[0], in[1], in[2], targets).total;
                  },
                  {x, weight, bias, random({4, 5}, 4)}});
  return rows;
}

std::vector<Row> attention_rows() {
  AttentionOptions plain, causal, padded, blocks, packed, dropped;
  causal.causal = true;
  causal.scale = 0.9;
  padded.key_lengths = int32s({5, 0}, {2});  // the second sequence sees nothing
  blocks.block_size = 2;
  blocks.block_mask = Tensor::from<uint8_t>({1, 0, 1, 0, 1, 1}, {2, 3});
  packed.query_offsets = int32s({0, 2, 5}, {3});
  packed.causal = true;
  dropped.dropout = 0.3;
  AttentionOptions cross, pairs, added, each;
  cross.query_offsets = int32s({0, 2, 4}, {3});
  cross.key_offsets = int32s({0, 4, 5}, {3});
  cross.causal = true;
  cross.causal_offsets = int32s({1, 0}, {2});
  pairs.pair_mask = Tensor::from<uint8_t>({1, 0, 1, 1, 0, 1, 1, 0, 0, 0}, {2, 5});
  pairs.pair_mask = concat(std::vector<Tensor>{pairs.pair_mask, pairs.pair_mask}, 0);
  added.pair_mask = random({2, 1, 4, 5}, 9);
  each.block_size = 3;
  each.block_mask = Tensor::from<uint8_t>({1, 0, 0, 1, 1, 1, 0, 1}, {2, 2, 2});
  std::vector<Row> rows;
  for (const AttentionOptions& options :
       {plain, cross, pairs, added, each}) {  // two heads of queries share keys
    const int64_t batch = options.query_offsets.defined() ? 1 : 2;
    rows.push_back({"attention",
                    [=](const Inputs& in) { return attention(in[0], in[1], in[2], beside(in, options)); },
                    {random({batch, 4, 4, 3}), random({batch, 5, 2, 3}, 2), random({batch, 5, 2, 3}, 3)}});
  }
  for (const AttentionOptions& options : {plain, causal, padded, blocks, packed, dropped}) {
    const bool is_packed = options.query_offsets.defined();
    const Shape keys{is_packed ? 1 : 2, 5, 2, 3}, queries{keys[0], is_packed ? 5 : 4, 2, 3};
    rows.push_back({"attention",
                    [=](const Inputs& in) {
                      Generator generator(7);
                      return attention(in[0], in[1], in[2], beside(in, options), &generator);
                    },
                    {random(queries), random(keys, 2), random(keys, 3)}});
    if (options.key_lengths.defined() || options.block_mask.defined()) continue;
    rows.push_back({"self_attention",
                    [=](const Inputs& in) {
                      Generator generator(7);
                      return self_attention(in[0], beside(in, options), &generator);
                    },
                    {random({5, 3, 2, 3})}});
  }
  for (const double dropout : {0.0, 0.3}) {
    AttentionOptions memory;
    memory.query_offsets = int32s({0, 2, 2, 4}, {4});
    memory.key_offsets = int32s({0, 3, 4, 4}, {4});  // the last sequence has no memory
    memory.dropout = dropout;
    rows.push_back({"cross_attention",
                    [=](const Inputs& in) {
                      Generator generator(7);
                      return cross_attention(in[0], in[1], beside(in, memory), &generator);
                    },
                    {random({4, 2, 3}), random({4, 2, 2, 3}, 2)}});
  }
  return rows;
}

std::vector<Row> norm_rows() {
  const Tensor weight = random({4}, 2), bias = random({4}, 3);
  const Tensor scale = random({3, 4}, 2), shift = random({3, 4}, 3), index = int32s({2, 0, 2, 2}, {4});
  return {
      {"layer_norm",
       [](const Inputs& in) { return layer_norm(in[0], in[1], in[2], 1e-3, 0); },
       {random({4, 3}), weight, bias}},
      {"rms_norm",
       [](const Inputs& in) { return rms_norm(in[0], in[1], 1e-3, 1); },
       {random({2, 4, 3}), weight}},
      {"adaptive_layer_norm",
       [=](const Inputs& in) { return adaptive_layer_norm(in[0], in[1], in[2], beside(in, index), 1e-3); },
       {random({4, 4}), scale, shift}},
      {"gated_add",
       [=](const Inputs& in) { return gated_add(in[0], in[1], in[2], beside(in, index)); },
       {random({4, 4}), scale, random({4, 4}, 4)}},
      {"layer_norm",
       [](const Inputs& in) { return layer_norm(in[0], in[1], in[2], 1e-3); },
       {random({3, 4}), weight, bias}},
      {"rms_norm", [](const Inputs& in) { return rms_norm(in[0], in[1], 1e-3); }, {random({3, 4}), weight}},
      {"group_norm",
       [](const Inputs& in) { return group_norm(in[0], in[1], in[2], 2, 1e-3); },
       {random({2, 4, 3}), weight, bias}},
  };
}

std::vector<Row> position_rows() {
  const Tensor cosine = random({5, 2}, 2), sine = random({5, 2}, 3), positions = int32s({4, 0, 2}, {3});
  std::vector<Row> rows;
  for (const bool inverse : {false, true}) {
    rows.push_back({"rotary",
                    [=](const Inputs& in) {
                      return rotary(in[0], beside(in, cosine), beside(in, sine), beside(in, positions), 2,
                                    inverse);
                    },
                    {random({3, 3, 4})}});
  }
  return rows;
}

std::vector<Row> indexing_rows() {
  const Tensor x = random({4, 3}), rows = int32s({3, 1, 3}, {3}), pairs = int32s({0, 2, 1, 1}, {2, 2});
  return {
      {"embedding", [=](const Inputs& in) { return embedding(in[0], beside(in, rows)); }, {x}},
      {"index_select", [=](const Inputs& in) { return index_select(in[0], 0, beside(in, rows)); }, {x}},
      {"index_scatter",
       [=](const Inputs& in) {
         return index_scatter(in[0], 0, beside(in, rows), {5, 3});
       },
       {random({3, 3})}},
      {"gather", [=](const Inputs& in) { return gather(in[0], 1, beside(in, pairs)); }, {x}},
      {"scatter",
       [=](const Inputs& in) { return scatter(in[0], 1, beside(in, pairs), in[1]); },
       {x, random({2, 2}, 2)}},
      {"scatter_add",
       [=](const Inputs& in) { return scatter_add(in[0], 1, beside(in, pairs), in[1]); },
       {x, random({2, 2}, 2)}},
  };
}

std::vector<Row> image_rows() {
  const Tensor x = random({2, 2, 4, 4});
  return {
      {"conv2d_gradient_x",
       [](const Inputs& in) { return conv2d_gradient_x(in[0], in[1], 4, 4, ConvolutionOptions::even(2, 1)); },
       {random({2, 3, 2, 2}), random({3, 2, 3, 3}, 2)}},
      {"conv2d_gradient_weight",
       [](const Inputs& in) {
         return conv2d_gradient_weight(in[0], in[1], 3, 3, ConvolutionOptions::even(2, 1));
       },
       {random({2, 3, 2, 2}), x}},
      {"conv_transpose2d",
       [](const Inputs& in) { return conv_transpose2d(in[0], in[1], in[2], ConvolutionOptions::even(2, 1)); },
       {random({2, 3, 2, 2}), random({3, 2, 3, 3}, 2), random({2}, 3)}},
      {"unfold", [](const Inputs& in) { return unfold(in[0], 3, 3, 1, 1); }, {x}},
      {"fold", [](const Inputs& in) { return fold(in[0], 4, 4, 2, 2, 2, 0); }, {random({2, 8, 4})}},
      {"conv2d",
       [](const Inputs& in) { return conv2d(in[0], in[1], in[2], 2, 1); },
       {x, random({3, 2, 3, 3}, 2), random({3}, 3)}},
      {"average_pool", [](const Inputs& in) { return average_pool(in[0], 2); }, {x}},
      {"max_pool", [](const Inputs& in) { return max_pool(in[0], 2); }, {x}},
      {"upsample", [](const Inputs& in) { return upsample(in[0], 2); }, {x}},
  };
}

std::vector<Row> all_rows() {
  std::vector<Row> rows;
  for (const auto& part : {view_rows(), elementwise_rows(), reduction_rows(), product_rows(),
                           attention_rows(), norm_rows(), position_rows(), indexing_rows(), image_rows()}) {
    rows.insert(rows.end(), part.begin(), part.end());
  }
  return rows;
}

std::vector<Tensor> block_inputs(uint64_t seed = 1) {
  return {random({4, 6}, seed), random({18, 6}, seed + 1), random({6}, seed + 2), random({7, 6}, seed + 3)};
}

/// Cross-entropy behind a transformer's block: rows, a weight of several layers, a scale, an output layer.
Variable block_loss(const Inputs& in) {
  const auto numbers = [&](const Tensor& x) { return to(x, in[0].device()); };
  AttentionOptions packed;
  packed.query_offsets = numbers(int32s({0, 1, 4}, {3}));
  const Variable qkv = reshape(linear(layer_norm(in[0], in[2], {}, 1e-3), in[1]), {4, 3, 2, 3});
  const Variable mixed = reshape(self_attention(qkv, packed), {4, 6}) + in[0];
  const Variable rows =
      mlp(rms_norm(mixed, in[2], 1e-3), in[1], {}, transpose(in[1]), {}, Activation::gelu_tanh);
  return linear_cross_entropy(rows, in[3], {}, numbers(int32s({6, 0, 3, 3}, {4})), {}).total;
}

/// H v of block_loss at `at`: the gradient of (gradient . v).
Gradients hessian_product(const std::vector<Tensor>& at, const std::vector<Tensor>& v) {
  Inputs leaves;
  for (const Tensor& x : at) leaves.push_back(Variable::leaf(x));
  const Gradients g = gradient(block_loss(leaves), leaves, {.create_graph = true});
  Variable along = sum(g[0] * v[0]);
  for (size_t i = 1; i < at.size(); ++i) along = along + sum(g[i] * v[i]);
  return gradient(along, leaves);
}

/// The gradients of the sum of squares of row.f, and those of the sum of their squares, on a device.
std::vector<std::vector<double>> derivatives(const Row& row, Device device) {
  Inputs leaves;
  for (const Tensor& x : row.inputs) leaves.push_back(Variable::leaf(to(x, device)));
  const Gradients first = gradient(sum(square(row.f(leaves))), leaves, {.create_graph = true});
  Variable squares = sum(square(first[0]));
  for (size_t i = 1; i < first.size(); ++i) squares = squares + sum(square(first[i]));
  std::vector<std::vector<double>> result;
  for (const Variable& x : first) result.push_back(x.value().to_vector<double>());
  if (!squares.requires_gradient()) return result;
  for (const Variable& x : gradient(squares, leaves)) {
    CHECK(x.device() == device);
    result.push_back(x.value().to_vector<double>());
  }
  return result;
}

}  // namespace

TEST_CASE("every operation's gradient can be differentiated again, and agrees with central differences") {
  for (const Row& row : all_rows()) {
    // What is linear in its inputs has second derivatives only behind something that is not.
    const auto curved = [&](const Inputs& in) {
      Inputs bent;
      for (const Variable& x : in) bent.push_back(x + square(x) * 0.1);
      return row.f(bent);
    };
    check_first_and_second(row.operation, curved, row.inputs);
  }
}

TEST_CASE("the table of second derivatives has a row for every operation of autograd/ops.h") {
  std::ifstream file(std::string(HAZE_TEST_DATA) + "/../../autograd/ops.h");
  REQUIRE(file);
  std::set<std::string> rows;
  for (const Row& row : all_rows()) rows.insert(row.operation);
  const std::regex declaration(
      R"(^(?:inline )?(?:Variable|CrossEntropy|ProjectedLoss|std::pair<Variable, Tensor>) (\w+)\(.*)");
  size_t declared = 0;
  for (std::string line; std::getline(file, line);) {
    std::smatch match;
    if (!std::regex_match(line, match, declaration) || match[1].str().starts_with("operator")) continue;
    ++declared;
    CHECK_MESSAGE(rows.contains(match[1]), "no row for ", match[1].str());
  }
  CHECK(declared >= 50);
}

TEST_CASE("products of a Hessian with a vector agree with differences of gradients") {
  // H v = d(g . v)/dx against (g(x + h v) - g(x - h v)) / 2h
  const std::vector<Tensor> at = block_inputs(), v = block_inputs(20);
  const Gradients product = hessian_product(at, v);
  const auto gradients_at = [&](double step) {
    Inputs leaves;
    for (size_t i = 0; i < at.size(); ++i) {
      leaves.push_back(Variable::leaf(add(at[i], scale_shift(v[i], step, 0))));
    }
    return gradient(block_loss(leaves), leaves);
  };
  constexpr double kStep = 1e-5;
  const Gradients above = gradients_at(kStep), below = gradients_at(-kStep);
  for (size_t i = 0; i < at.size(); ++i) {
    const Tensor expected = scale_shift(subtract(above[i].value(), below[i].value()), 1 / (2 * kStep), 0);
    const double error = global_norm(std::vector{subtract(product[i].value(), expected)});
    CHECK(error < 1e-7 * global_norm(std::vector{expected}));
  }
}

TEST_CASE("first and second derivatives of every operation on another device are the same bits") {
  for (const Row& row : all_rows()) {
    CAPTURE(row.operation);
    CHECK(derivatives(row, Device::cpu) == derivatives(row, Device::guarded));
  }
}

TEST_CASE("first and second derivatives of every operation on a GPU are the cpu's, to roundings of float64") {
  for (const Row& row : all_rows()) {
    CAPTURE(row.operation);
    const auto expected = derivatives(row, Device::cpu);
    for (const Device gpu : test::gpus()) {
      CAPTURE(name(gpu));
      const auto got = derivatives(row, gpu);
      REQUIRE(got.size() == expected.size());
      for (size_t i = 0; i < got.size(); ++i) {
        double largest = 0, apart = 0;
        for (size_t k = 0; k < expected[i].size(); ++k) {
          largest = std::max(largest, std::abs(expected[i][k]));
          apart = std::max(apart, std::abs(got[i][k] - expected[i][k]));
        }
        CHECK(apart <= 1e-11 * largest);
      }
    }
  }
}

TEST_CASE("second derivatives on another device are the same bits") {
  const auto on = [](Device device, std::vector<Tensor> tensors) {
    for (Tensor& x : tensors) x = to(x, device);
    return tensors;
  };
  const Gradients here = hessian_product(block_inputs(), block_inputs(20));
  const Gradients there =
      hessian_product(on(Device::guarded, block_inputs()), on(Device::guarded, block_inputs(20)));
  for (size_t i = 0; i < here.size(); ++i) {
    CHECK(there[i].device() == Device::guarded);
    CHECK(here[i].value().to_vector<double>() == there[i].value().to_vector<double>());
  }
}

TEST_CASE("second derivatives of activations keep their digits where they are small") {
  // In float32, against the closed form in float64: the curve has no digits to lose to its own largest terms.
  struct Curve {
    UnaryOp op;
    double (*second)(double);
  };
  const auto sigmoid_of = [](double z) { return 1 / (1 + std::exp(-z)); };
  static const auto s = sigmoid_of;
  const Curve curves[] = {
      {UnaryOp::gelu,
       [](double x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0)) * (2 - x * x); }},
      {UnaryOp::silu, [](double x) { return s(x) * s(-x) * (2 - x * std::tanh(x / 2)); }},
      {UnaryOp::gelu_tanh,
       [](double x) {
         const double k = std::sqrt(2 / std::acos(-1.0)), c = 0.044715;
         const double u = k * (x + c * x * x * x), slope = k * (1 + 3 * c * x * x);
         return (2 * slope + 6 * k * c * x * x - 2 * x * slope * slope * std::tanh(u)) /
                (2 * std::cosh(u) * std::cosh(u));
       }},
      {UnaryOp::sigmoid, [](double x) { return -s(x) * s(-x) * std::tanh(x / 2); }},
  };
  std::vector<float> at;
  for (float x = -4.5f; x <= 4.5f; x += 0.0625f) at.push_back(x);
  for (const Curve& curve : curves) {
    const Variable x = Variable::leaf(Tensor::from(at, {static_cast<int64_t>(at.size())}));
    const Variable slope = gradient(sum(unary(curve.op, x)), {x}, {.create_graph = true})[0];
    const std::vector<float> second = gradient(sum(slope), {x})[0].value().to_vector<float>();
    for (size_t i = 0; i < at.size(); ++i) {
      const double exact = curve.second(at[i]);
      // Near its zeros the curve is the difference of two terms of about this size.
      const double terms = std::abs(exact) + 0.05 * std::exp(-at[i] * at[i] / 2);
      INFO(name(curve.op), " at ", at[i], ": ", second[i], ", exact ", exact);
      CHECK(std::abs(second[i] - exact) < 5e-6 * terms);
    }
  }
}
