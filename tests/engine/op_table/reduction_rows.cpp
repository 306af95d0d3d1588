#include <limits>

#include "engine/op_table/reference.h"
#include "engine/op_table/table.h"

// Reductions, softmax, order on an axis.
namespace haze::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const double kNan = std::nan("");

constexpr const char* kReduceNames[] = {"sum", "mean", "max", "min", "logsumexp", "variance"};
static_assert(std::size(kReduceNames) == static_cast<size_t>(ReduceOp::kCount));

Row reduce_row(ReduceOp op, const Shape& axes, bool keep, const std::vector<Input>& inputs,
               double correction = 0) {
  const char* name = kReduceNames[static_cast<size_t>(op)];
  Row row{.name = fmt::format("{} axes {}{}", name, axes.to_string(), keep ? " kept" : ""),
          .function = name,
          .dtypes = kFloating};
  for (const Input& input : inputs) row.cases.push_back({input});
  // These take integers too: see integer_rows().
  row.refuses_other_dtypes = op != ReduceOp::sum && op != ReduceOp::max && op != ReduceOp::min;
  row.apply = [=](const Tensors& in, Dtype) { return Tensors{reduce(op, in[0], axes, keep, correction)}; };
  row.reference = [=](const Arrays& in, Dtype) {
    return Arrays{reference::reduce(op, in[0], axes, keep, correction)};
  };
  return row;
}

std::vector<Row> reduce_rows(ReduceOp op) {
  const std::vector<Input> whole = {{{}},   {{1}},  {{3}},      {{15}},    {{16}},      {{17}},
                                    {{33}}, {{63}}, {{17, 33}}, {{70001}}, {{2, 3, 5}}, {{3, 23333}}};
  const std::vector<Input> three = {{{2, 3, 5}}, {{17, 1, 4}}, {{1, 1, 1}}, {{6, 63, 33}}, {{0, 3, 5}}};
  const std::vector<Input> tall = {{{23333, 3}}, {{300, 257}}, {{1, 130}}, {{70, 1}}, {{3, 23333}}};
  std::vector<Row> rows = {reduce_row(op, {}, false, whole), reduce_row(op, {}, true, {{{2, 3, 5}}})};
  for (const Shape& axes : {Shape{0}, Shape{-1}}) rows.push_back(reduce_row(op, axes, false, tall));
  for (const Shape& axes : {Shape{1}, Shape{2}, Shape{1, 2}, Shape{-1, 1}}) {
    rows.push_back(reduce_row(op, axes, axes.rank() == 2, three));
  }
  // Over the axis of extent 0 only where ops.h gives an empty reduction a value.
  const std::vector<Input> filled(three.begin(), three.end() - 1);
  for (const Shape& axes : {Shape{0}, Shape{0, 1}, Shape{0, 2}, Shape{0, 1, 2}}) {
    rows.push_back(reduce_row(op, axes, false, filled));
  }
  rows.push_back(reduce_row(op, {1, 3}, false, {{{2, 3, 4, 5}}, {{3, 17, 2, 33}}}));
  rows.front().refused = {{"an axis outside",
                           [=] {
                             reduce(op, zeros({2, 3}), {2});
                           }},
                          {"an axis twice", [=] {
                             reduce(op, zeros({2, 3}), {1, -1});
                           }}};
  const bool takes_nothing = op == ReduceOp::sum || op == ReduceOp::logsumexp;
  if (takes_nothing) {
    for (const Shape& axes : {Shape{}, Shape{1}, Shape{0, 1}, Shape{0}}) {
      rows.push_back(reduce_row(op, axes, false, {{{3, 0, 5}}}));
    }
  } else {
    rows.front().refused.push_back({"nothing to reduce", [=] { reduce(op, zeros({0})); }});
    rows.front().refused.push_back({"an empty axis", [=] { reduce(op, zeros({3, 0}), {1}); }});
  }
  return rows;
}

std::vector<Row> special_reduce_rows() {
  std::vector<Row> rows;
  const std::vector<double> large = {1e4, -1e4, 9999, 3, -kInfinity, 0, 1e4};
  const std::vector<double> none(15, -kInfinity), up = {1, kInfinity, 2};
  for (const Shape& axes : {Shape{0}, Shape{1}, Shape{}}) {
    rows.push_back(reduce_row(ReduceOp::logsumexp, axes, false,
                              {{{5, 3}, 0, 0, large},
                               {{3, 40}, 0, 0, large},
                               {{5, 3}, 0, 0, none},
                               {{5, 3}, 0, 0, up},
                               {{17, 33}, -1e4, 1e4}}));
    rows.back().name += " of large numbers";
    for (ReduceOp op : {ReduceOp::max, ReduceOp::min, ReduceOp::sum, ReduceOp::mean, ReduceOp::logsumexp}) {
      std::vector<double> values(35, 1.5);
      values[7] = kNan;
      values[20] = -3;
      rows.push_back(reduce_row(op, axes, false, {{{5, 7}, 0, 0, values}, {{35, 2}, 0, 0, values}}));
      rows.back().name += " of a NaN";
    }
    rows.push_back(reduce_row(ReduceOp::variance, axes, false, {{{17, 33}}, {{2, 2}}, {{300, 257}}}, 1));
    rows.back().name += " corrected";
    rows.push_back(reduce_row(ReduceOp::variance, axes, false, {{{300, 257}, 999, 1001}}));
    rows.back().name += " far from zero";
  }
  rows.back().refused = {
      {"as many elements as the correction", [] { reduce(ReduceOp::variance, zeros({1}), {}, false, 1); }}};
  return rows;
}

// Sums wrap modulo 2^32.
Row integer_row(ReduceOp op, Dtype dtype, const Shape& axes) {
  Row row{.name = fmt::format("{} of {} axes {}", name(op), name(dtype), axes.to_string()),
          .function = name(op),
          .dtypes = {dtype}};
  for (const Shape& shape : {Shape{2, 3, 5}, Shape{17, 1, 4}, Shape{6, 63, 33}, Shape{3, 2, 30001}}) {
    row.cases.push_back({{shape, -1e9, 1e9}});
    row.cases.push_back({{shape, 0, 2}});
  }
  row.apply = [=](const Tensors& in, Dtype) { return Tensors{reduce(op, in[0], axes)}; };
  row.reference = [=](const Arrays& in, Dtype) {
    Array result = reference::reduce(op, in[0], axes, false, 0);
    for (double& value : result.values) {
      value = static_cast<int32_t>(static_cast<uint32_t>(static_cast<int64_t>(value)));
    }
    std::fill(result.error.begin(), result.error.end(), 0.0);
    return Arrays{result};
  };
  row.refuses_other_dtypes = false;
  if (op != ReduceOp::sum) row.refused = {{"uint8", [=] { reduce(op, zeros({2}, Dtype::uint8)); }}};
  return row;
}

std::vector<Row> integer_rows() {
  std::vector<Row> rows;
  for (const Shape& axes : {Shape{}, Shape{0}, Shape{1}, Shape{2}, Shape{0, 2}, Shape{1, 2}}) {
    for (ReduceOp op : {ReduceOp::sum, ReduceOp::max, ReduceOp::min}) {
      rows.push_back(integer_row(op, Dtype::int32, axes));
    }
    rows.push_back(integer_row(ReduceOp::sum, Dtype::uint8, axes));
  }
  return rows;
}

// The rows of an operation on the last axis, on another one: the reference has the axes permuted.
template <typename Apply, typename Reference>
Row on_axis(const char* function, int axis, Apply apply, Reference reference) {
  Row row{.name = fmt::format("{} axis {}", function, axis), .function = function, .dtypes = kFloating};
  for (const Shape& shape : {Shape{2, 3, 5}, Shape{17, 4, 33}, Shape{3, 70, 2}}) {
    row.cases.push_back({{shape, -9, 9}});
  }
  row.apply = [=](const Tensors& in, Dtype) { return apply(in[0], axis); };
  row.reference = [=](const Arrays& in, Dtype) {
    const int a = axis < 0 ? axis + 3 : axis;
    Shape swapped{0, 1, 2};
    std::swap(swapped[a], swapped[2]);
    Arrays result = reference(reference::permute(in[0], swapped));
    for (Array& x : result) x = reference::permute(x, swapped);
    return result;
  };
  row.refuses_other_dtypes = false;
  row.refused = {{"an axis outside", [=] { apply(zeros({2}), 1); }}};
  return row;
}

std::vector<Row> axis_rows() {
  const auto both = [](const std::pair<Tensor, Tensor>& found) { return Tensors{found.first, found.second}; };
  const auto of_sorted = [](const std::array<Array, 2>& x) { return Arrays{x[0], x[1]}; };
  std::vector<Row> rows;
  for (int axis : {0, 1, -2}) {
    for (bool log : {false, true}) {
      rows.push_back(on_axis(
          log ? "log_softmax" : "softmax", axis,
          [=](const Tensor& x, int a) { return Tensors{log ? log_softmax(x, a) : softmax(x, a)}; },
          [=](const Array& x) { return Arrays{reference::softmax(x, log)}; }));
    }
    rows.push_back(on_axis(
        "sort", axis, [=](const Tensor& x, int a) { return both(sort(x, true, a)); },
        [=](const Array& x) { return of_sorted(reference::sorted(x, true, x.shape.back())); }));
    rows.push_back(on_axis(
        "top_k", axis, [=](const Tensor& x, int a) { return both(top_k(x, 2, a)); },
        [=](const Array& x) { return of_sorted(reference::sorted(x, true, 2)); }));
  }
  return rows;
}

Row sum_to_row() {
  Row row{.name = "sum_to", .function = "sum_to", .dtypes = kFloating};
  row.cases = {
      {{{2, 3, 5}}, {{3, 1}}}, {{{17, 33}}, {{33}}}, {{{17, 33}}, {{}}},         {{{5}}, {{5}}},
      {{{0, 5}}, {{5}}},       {{{1, 5}}, {{5}}},    {{{300, 257}}, {{1, 257}}}, {{{2, 3}}, {{1, 1}}}};
  row.apply = [](const Tensors& in, Dtype) { return Tensors{sum_to(in[0], in[1].shape())}; };
  row.reference = [](const Arrays& in, Dtype) { return Arrays{reference::sum_to(in[0], in[1].shape)}; };
  row.refused_shapes = {{{{2, 3}}, {{2}}}, {{{3}}, {{2, 3}}}};
  row.optional_inputs = {1};
  return row;
}

Row argmax_row(int axis) {
  Row row{.name = fmt::format("argmax axis {}", axis), .function = "argmax", .dtypes = kFloating};
  std::vector<double> ties = {1, 3, 3, 2, -1, 3, 0, 2, 2}, broken(37, 1.0);
  broken[11] = broken[30] = kNan;
  const std::vector<double> none(15, -kInfinity);
  row.cases = {{{{33}}},
               {{{1}}},
               {{{17, 33}}},
               {{{2, 3, 5}}},
               {{{300, 257}}},
               {{{3, 23333}}},
               {{{3, 0, 5}}},
               {{{9}, 0, 0, ties}},
               {{{9, 5}, 0, 0, ties}},
               {{{5, 37}, 0, 0, broken}},
               {{{37, 5}, 0, 0, broken}},
               {{{5, 3}, 0, 0, none}}};
  if (axis == 0) row.cases.push_back({{{70001}}});
  row.apply = [=](const Tensors& in, Dtype) { return Tensors{argmax(in[0], axis)}; };
  row.reference = [=](const Arrays& in, Dtype) { return Arrays{reference::argmax(in[0], axis)}; };
  row.refused = {{"an empty axis",
                  [] {
                    argmax(zeros({3, 0}));
                  }},
                 {"an axis outside", [] { argmax(zeros({3}), 1); }},
                 {"a scalar", [] { argmax(zeros({})); }}};
  return row;
}

Row global_norm_row(const std::string& function, std::function<Tensor(const Tensors&)> apply) {
  Row row{.name = function, .function = function, .dtypes = kFloating};
  row.cases = {{{{70001}}, {{3, 5}}}, {{{0}}, {{1}}}, {{{}}, {{33}}}, {{{300, 257}}, {{17}}}};
  row.apply = [apply](const Tensors& in, Dtype) { return Tensors{apply(in)}; };
  // Accumulated in float64: its terms are exact squares of float32, and so is the result.
  row.reference = [](const Arrays& in, Dtype) {
    Array result{Shape{}};
    reference::Sum squares = 0;
    int64_t count = 0;
    for (const Array& x : in) {
      for (double value : x.values) squares += value * value;
      count += x.shape.elements();
    }
    result.values[0] = std::sqrt(static_cast<double>(squares));
    result.error[0] = reference::rounding_of_sum(count) * result.values[0];
    return Arrays{result};
  };
  return row;
}

Row device_clip_scale_row(double max_norm, double gradient_scale) {
  Row row{.name = fmt::format("device_clip_scale {} {}", max_norm, gradient_scale),
          .function = "device_clip_scale",
          .dtypes = kReal};
  for (double norm : {0.0, 0.125, 3.0, 1e30}) row.cases.push_back({{{}, 0, 0, {norm}}});
  row.apply = [=](const Tensors& in, Dtype) {
    return Tensors{device_clip_scale(in[0], max_norm, gradient_scale)};
  };
  row.reference = [=](const Arrays& in, Dtype) {
    const double norm = gradient_scale * in[0].values[0];
    const bool clips = max_norm > 0 && norm + 1e-6 > max_norm;
    Array result(Shape{}, gradient_scale * (clips ? max_norm / (norm + 1e-6) : 1));
    result.error[0] = 4 * result.values[0];
    return Arrays{result};
  };
  row.layouts = {Layout::dense, Layout::offset};
  row.refused_shapes = {{{{1}}}};
  row.refused_values = {{{{}, 0, 0, {kNan}}}, {{{}, 0, 0, {kInfinity}}}};
  row.refused = {{"a negative limit", [] { device_clip_scale(ones({}), -1); }},
                 {"a limit that is no number", [] { device_clip_scale(ones({}), kNan); }},
                 {"a negative scale", [] { device_clip_scale(ones({}), 1, -1); }},
                 {"a scale that is infinite", [] { device_clip_scale(ones({}), 1, kInfinity); }}};
  return row;
}

Row all_finite_row() {
  Row row{.name = "all_finite", .function = "all_finite", .dtypes = kFloating};
  for (const Shape& shape : common_shapes()) row.cases.push_back({{shape}});
  for (double broken : {kNan, kInfinity, -kInfinity}) {
    for (size_t at : {size_t{0}, size_t{15}, size_t{62}}) {
      std::vector<double> values(63, 1.0);
      values[at] = broken;
      row.cases.push_back({{{63}, 0, 0, values}});
    }
    std::vector<double> values(70001, 1e30);
    values.back() = broken;
    row.cases.push_back({{{70001}, 0, 0, values}});
  }
  row.apply = [](const Tensors& in, Dtype) { return Tensors{full({}, all_finite(in[0]) ? 1 : 0)}; };
  row.reference = [](const Arrays& in, Dtype) {
    double finite = 1;
    for (double value : in[0].values) finite = std::isfinite(value) ? finite : 0;
    return Arrays{Array(Shape{}, finite)};
  };
  return row;
}

std::vector<Shape> row_shapes() {
  return {{1},    {3},    {15},      {16},     {17},       {33},      {63},
          {0, 5}, {7, 1}, {2, 3, 5}, {17, 33}, {300, 257}, {2, 40001}};
}

Row softmax_row(bool log) {
  const char* name = log ? "log_softmax" : "softmax";
  Row row{.name = name, .function = name, .dtypes = kFloating};
  for (const Shape& shape : row_shapes()) row.cases.push_back({{shape}});
  const std::vector<double> large = {1e4, -1e4, 9999, 3, -kInfinity, 0, 1e4};
  const std::vector<double> none(34, -kInfinity);
  std::vector<double> broken(17, 0.5);
  broken[9] = kNan;
  for (const std::vector<double>& values : {large, none, broken}) {
    row.cases.push_back({{{4, 17}, 0, 0, values}});
    row.cases.push_back({{{7, 3}, 0, 0, values}});
  }
  row.cases.push_back({{{17, 33}, -50, 50}});
  row.apply = [=](const Tensors& in, Dtype) { return Tensors{log ? log_softmax(in[0]) : softmax(in[0])}; };
  row.reference = [=](const Arrays& in, Dtype) { return Arrays{reference::softmax(in[0], log)}; };
  row.refused_shapes = {{{{}}}};
  return row;
}

Row softmax_gradient_row(bool log) {
  const char* name = log ? "log_softmax_gradient" : "softmax_gradient";
  Row row{.name = name, .function = name, .dtypes = kFloating};
  for (const Shape& shape : row_shapes()) {
    row.cases.push_back({log ? Input{shape, -6, 0} : Input{shape, 0, 0.5}, {shape}});
  }
  row.apply = [=](const Tensors& in, Dtype) {
    return Tensors{log ? log_softmax_gradient(in[0], in[1]) : softmax_gradient(in[0], in[1])};
  };
  row.reference = [=](const Arrays& in, Dtype) {
    return Arrays{reference::softmax_gradient(in[0], in[1], log)};
  };
  row.refused_shapes = {{{{3, 4}}, {{4}}}, {{{}}, {{}}}};
  return row;
}

Row cumulative_sum_row(int axis) {
  Row row{.name = fmt::format("cumulative_sum axis {}", axis),
          .function = "cumulative_sum",
          .dtypes = kFloatingAndIntegers};
  for (const Shape& shape : {Shape{1}, Shape{33}, Shape{0}, Shape{70001}, Shape{17, 33}, Shape{2, 3, 5},
                             Shape{3, 0, 5}, Shape{3, 23333}, Shape{300, 257}}) {
    row.cases.push_back({{shape, -9, 9}});
  }
  row.apply = [=](const Tensors& in, Dtype) { return Tensors{cumulative_sum(in[0], axis)}; };
  row.reference = [=](const Arrays& in, Dtype) { return Arrays{reference::cumulative_sum(in[0], axis)}; };
  row.refused = {{"an axis outside", [] { cumulative_sum(zeros({3}), 1); }}};
  return row;
}

std::vector<Case> order_cases() {
  std::vector<Case> cases;
  for (const Shape& shape :
       {Shape{7}, Shape{33}, Shape{0, 5}, Shape{17, 33}, Shape{2, 3, 5}, Shape{2, 20001}}) {
    cases.push_back({{shape, -9, 9}});
  }
  cases.push_back({{{5, 9}, 0, 0, {1, 3, 3, 2, -1, 3, 0, 2}}});  // ties
  return cases;
}

Row sort_row(bool descending) {
  Row row{
      .name = descending ? "sort descending" : "sort", .function = "sort", .dtypes = kFloatingAndIntegers};
  row.cases = order_cases();
  for (const Shape& shape : {Shape{1}, Shape{0}, Shape{3, 0}}) row.cases.push_back({{shape, -9, 9}});
  row.apply = [=](const Tensors& in, Dtype) {
    const auto [values, order] = sort(in[0], descending);
    return Tensors{values, order};
  };
  row.reference = [=](const Arrays& in, Dtype) {
    const auto result = reference::sorted(in[0], descending, in[0].shape.back());
    return Arrays{result[0], result[1]};
  };
  row.refused_shapes = {{{{}}}};
  return row;
}

Row top_k_row(int64_t k) {
  Row row{.name = fmt::format("top_k {}", k), .function = "top_k", .dtypes = kFloatingAndIntegers};
  row.cases = order_cases();
  row.apply = [=](const Tensors& in, Dtype) {
    const auto [values, order] = top_k(in[0], k);
    return Tensors{values, order};
  };
  row.reference = [=](const Arrays& in, Dtype) {
    const auto result = reference::sorted(in[0], true, k);
    return Arrays{result[0], result[1]};
  };
  row.refused_shapes = {{{{}}}};
  row.refused = {{"more than there are", [] { top_k(zeros({3}), 4); }},
                 {"a negative k", [] { top_k(zeros({3}), -1); }}};
  return row;
}

}  // namespace

std::vector<Row> reduction_rows() {
  std::vector<Row> rows;
  for (int op = 0; op < static_cast<int>(ReduceOp::kCount); ++op) {
    for (Row& row : reduce_rows(static_cast<ReduceOp>(op))) rows.push_back(std::move(row));
  }
  for (Row& row : special_reduce_rows()) rows.push_back(std::move(row));
  for (Row& row : integer_rows()) rows.push_back(std::move(row));
  for (Row& row : axis_rows()) rows.push_back(std::move(row));
  rows.push_back(sum_to_row());
  for (int axis : {0, -1}) rows.push_back(argmax_row(axis));
  rows.push_back(global_norm_row(
      "global_norm", [](const Tensors& in) { return full({}, global_norm(in), Dtype::float64); }));
  rows.push_back(
      global_norm_row("device_global_norm", [](const Tensors& in) { return device_global_norm(in); }));
  for (double max_norm : {0.0, 1.0}) {
    for (double scale : {1.0, 0.25}) rows.push_back(device_clip_scale_row(max_norm, scale));
  }
  rows.push_back(all_finite_row());
  for (bool log : {false, true}) {
    rows.push_back(softmax_row(log));
    rows.push_back(softmax_gradient_row(log));
  }
  for (int axis : {0, -1}) rows.push_back(cumulative_sum_row(axis));
  for (bool descending : {false, true}) {
    rows.push_back(sort_row(descending));
    rows.back().cases.push_back(
        {{{4, 9}, 0, 0, {1, kNan, -kInfinity, kInfinity, kNan, 0.0, -0.0, 2, -1e30}}});
    if (!descending) continue;
    for (int64_t k : {0, 1, 3, 5}) rows.push_back(top_k_row(k));
  }
  return rows;
}

}  // namespace haze::test
