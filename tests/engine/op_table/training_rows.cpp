#include <cmath>
#include <utility>

#include "engine/op_table/reference.h"
#include "engine/op_table/table.h"

// Cross-entropy and the optimiser step.
namespace haze::test {
namespace {

// Inputs: hidden, weight, bias, targets, row_weights. Targets are counted from lowest.
Case cross_entropy_inputs(int64_t rows, int64_t width, int64_t vocabulary, double high = 2,
                          int32_t lowest = 0) {
  return {{{rows, width}, -high, high},
          {{vocabulary, width}, -high, high},
          {{vocabulary}},
          {{rows}, static_cast<double>(lowest), static_cast<double>(vocabulary), {}, Dtype::int32},
          {{rows}, 0, 1.5}};
}

Row cross_entropy_row(bool bias, bool gradients, std::optional<int32_t> ignored = {}) {
  Row row{.name = fmt::format("linear_cross_entropy{}{}{}", bias ? " + bias" : "",
                              gradients ? " with gradients" : "",
                              ignored ? fmt::format(", {} ignored", *ignored) : ""),
          .function = "linear_cross_entropy",
          .dtypes = kFloating};
  const int32_t lowest = ignored ? std::min(*ignored, 0) : 0;
  for (const auto& [rows, width, vocabulary] :
       {std::array<int64_t, 3>{1, 1, 1}, {5, 3, 1}, {0, 3, 7}, {7, 16, 33}, {33, 17, 130}, {70, 8, 1000}}) {
    row.cases.push_back(cross_entropy_inputs(rows, width, vocabulary, 2, lowest));
  }
  row.cases.push_back(cross_entropy_inputs(7, 16, 33, 40, lowest));
  row.apply = [=](const Tensors& in, Dtype dtype) {
    const Tensor row_weights = gradients && in[4].defined() ? cast(in[4], wide_dtype(dtype)) : Tensor();
    const CrossEntropyResult result = linear_cross_entropy(in[0], in[1], bias ? in[2] : Tensor(), in[3],
                                                           row_weights, Precision::full, ignored);
    Tensors results = {result.losses};
    if (gradients) results.insert(results.end(), {result.hidden, result.weight});
    if (gradients && bias) results.push_back(result.bias);
    return results;
  };
  row.reference = [=](const Arrays& in, Dtype) {
    const reference::CrossEntropy result = reference::linear_cross_entropy(
        in[0], in[1], bias ? in[2] : Array(), in[3], gradients ? in[4] : Array(), ignored);
    Arrays results = {result.losses};
    if (gradients) results.insert(results.end(), {result.hidden, result.weight});
    if (gradients && bias) results.push_back(result.bias);
    return results;
  };
  row.layouts = {Layout::dense, Layout::transposed, Layout::stepped};
  row.optional_inputs = {2, 4};
  if (ignored) {
    row.refused_shapes = {
        {{{5, 3}}, {{7, 3}}, {{7}}, {{5}, 0, 0, {static_cast<double>(lowest - 1)}, Dtype::int32}, {{5}}}};
    return row;
  }
  if (!bias || !gradients) return row;
  const auto with = [](size_t i, const Input& input) {
    Case inputs = cross_entropy_inputs(5, 3, 7);
    inputs[i] = input;
    return inputs;
  };
  row.refused_shapes = {with(0, {{5}}),
                        with(0, {{5, 4}}),
                        with(1, {{7}}),
                        with(1, {{7, 4}}),
                        with(2, {{6}}),
                        with(3, indices({4}, 7)),
                        with(3, indices({5, 1}, 7)),
                        with(4, {{4}}),
                        with(3, {{5}})};
  row.refused_values = {with(3, {{5}, 0, 0, {7}, Dtype::int32}), with(3, {{5}, 0, 0, {-1}, Dtype::int32})};
  return row;
}

// More logits than are formed at a time.
Row large_cross_entropy_row() {
  Row row = cross_entropy_row(true, true);
  row.name += " in pieces";
  row.dtypes = {Dtype::float32};
  row.cases = {cross_entropy_inputs(65, 1, 70001)};
  row.layouts = {Layout::dense};
  row.refused_shapes = {};
  row.refused_values = {};
  row.refuses_other_dtypes = false;
  return row;
}

// Which numbers of AdamW lie on the device.
struct OnDevice {
  bool learning_rate = false, gradient_scale = false, step = false;
};

// The options with those numbers as tensors, and wrong ones in their place.
AdamWOptions moved_to(Device device, AdamWOptions options, OnDevice moved) {
  const auto move = [&](double& number, Tensor& to) {
    to = full({}, std::exchange(number, std::nan("")), Dtype::float64, device);
  };
  if (moved.learning_rate) move(options.learning_rate, options.device_learning_rate);
  if (moved.gradient_scale) move(options.gradient_scale, options.device_gradient_scale);
  if (moved.step) {
    const auto step = static_cast<double>(std::exchange(options.step, 0));
    options.device_step = full({}, step, Dtype::int32, device);
  }
  return options;
}

// Inputs: parameter, gradient, first moment and second moment, of two slots, the second without decay.
Row adamw_row(const std::string& variant, const AdamWOptions& options, OnDevice moved = {}) {
  Row row{.name = "adamw_step " + variant, .function = "adamw_step", .dtypes = kReal};
  for (const auto& [a, b] :
       {std::pair<Shape, Shape>{{33}, {3, 5}}, {{1}, {}}, {{0}, {17}}, {{70001}, {15}}}) {
    row.cases.push_back({{a}, {a}, {a}, {a, 0, 2}, {b}, {b}, {b}, {b, 0, 2}});
  }
  row.apply = [=](const Tensors& in, Dtype) {
    Tensors own;
    for (const Tensor& x : in) own.push_back(copy_of(x));
    const std::vector<AdamWSlot> slots = {{own[0], own[1], own[2], own[3], true},
                                          {own[4], own[5], own[6], own[7], false}};
    adamw_step(slots, moved_to(in[0].device(), options, moved));
    return own;
  };
  row.reference = [=](const Arrays& in, Dtype) {
    Arrays results;
    for (size_t slot : {size_t{0}, size_t{4}}) {
      const auto after =
          reference::adamw_step(in[slot], in[slot + 1], in[slot + 2], in[slot + 3], options, slot == 0);
      results.insert(results.end(), {after[0], in[slot + 1], after[1], after[2]});
    }
    return results;
  };
  row.layouts = {Layout::dense};
  row.refused_shapes = {{{{3}}, {{4}}, {{3}}, {{3}}, {{3}}, {{3}}, {{3}}, {{3}}},
                        {{{3}}, {{3}}, {{3}}, {{3}}, {{3}}, {{3}}, {{3}}, {{1, 3}}}};
  const auto step = [](const Tensor& gradient, int64_t number) {
    const std::vector<AdamWSlot> slots = {{zeros({2, 3}), gradient, zeros({2, 3}), zeros({2, 3})}};
    adamw_step(slots, {.step = number});
  };
  row.refused = {{"step 0",
                  [=] {
                    step(zeros({2, 3}), 0);
                  }},
                 {"a gradient that is not dense",
                  [=] {
                    step(transpose(zeros({3, 2})), 1);
                  }},
                 {"a gradient of another dtype",
                  [=] {
                    step(zeros({2, 3}, Dtype::float64), 1);
                  }},
                 {"an undefined gradient", [=] { step(Tensor(), 1); }}};
  const auto refuse = [&](const char* what, const AdamWOptions& wrong) {
    row.refused.push_back(
        {what, [=] {
           const std::vector<AdamWSlot> slots(1, {ones({2}), ones({2}), ones({2}), ones({2})});
           adamw_step(slots, wrong);
         }});
  };
  refuse("a learning rate of two numbers", {.device_learning_rate = ones({2})});
  refuse("an integer gradient scale", {.device_gradient_scale = ones({}, Dtype::int32)});
  refuse("a step that is no integer", {.device_step = ones({})});
  refuse("step 0 on the device", {.device_step = zeros({}, Dtype::int32)});
  return row;
}

}  // namespace

std::vector<Row> training_rows() {
  std::vector<Row> rows;
  for (bool bias : {false, true}) {
    for (bool gradients : {false, true}) rows.push_back(cross_entropy_row(bias, gradients));
  }
  for (const int32_t ignored : {-1, 3}) {  // outside the vocabulary, and inside
    for (bool gradients : {false, true}) rows.push_back(cross_entropy_row(true, gradients, ignored));
  }
  rows.push_back(large_cross_entropy_row());
  rows.push_back(adamw_row("1", {}));
  const AdamWOptions seventh{.learning_rate = 0.01, .weight_decay = 0.1, .gradient_scale = 0.37, .step = 7};
  rows.push_back(adamw_row("7 with decay and clipping", seventh));
  rows.push_back(adamw_row("7, learning rate on the device", seventh, {.learning_rate = true}));
  rows.push_back(adamw_row("7, gradient scale on the device", seventh, {.gradient_scale = true}));
  rows.push_back(adamw_row("7, step on the device", seventh, {.step = true}));
  rows.push_back(adamw_row("7, all numbers on the device", seventh, {true, true, true}));
  rows.push_back(adamw_row(
      "100000", {.learning_rate = 0.1, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-3, .step = 100000}));
  return rows;
}

}  // namespace haze::test
