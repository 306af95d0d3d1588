#include <limits>

#include "engine/op_table/reference.h"
#include "engine/op_table/table.h"

namespace haze::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const double kNan = std::nan("");

// Numbers at which functions overflow, underflow, saturate or change sign, for float32 and float64.
const std::vector<double> kExtremes = {
    0.0,   -0.0,  kInfinity, -kInfinity, kNan,  1e-40,  -1e-40, 1e30,   -1e30,  88.5,   88.8, -87.0,
    -88.5, -95.0, -103.0,    -104.5,     110.0, -110.0, 709.5,  -709.5, 745.5,  -745.5, 4.0,  -4.0,
    9.5,   -9.5,  20.0,      -20.0,      1e4,   -1e4,   0.625,  -0.625, 0.9375, 1.0,    -1.0, 1e-8};

Input extremes() {
  return {{static_cast<int64_t>(kExtremes.size())}, 0, 0, kExtremes};
}

struct UnaryArguments {
  double a = 0, b = 0, low = -5, high = 5;
};

UnaryArguments arguments(UnaryOp op) {
  switch (op) {
    case UnaryOp::scale_shift:
      return {0.3, -1.7};
    case UnaryOp::leaky_relu:
      return {0.2};
    case UnaryOp::power:
      return {1.7, 0, 0.01, 9};
    case UnaryOp::clamp:
      return {-0.75, 0.875};
    case UnaryOp::sqrt:
    case UnaryOp::rsqrt:
    case UnaryOp::log:
      return {0, 0, 0.01, 9};
    case UnaryOp::log1p:
      return {0, 0, -0.99, 9};
    case UnaryOp::erfinv:
      return {0, 0, -1, 1};
    default:
      return {};
  }
}

Row unary_row(UnaryOp op, const UnaryArguments& with, const std::string& variant = "") {
  Row row{.name = name(op) + variant, .function = name(op), .dtypes = kFloating};
  for (const Shape& shape : common_shapes()) row.cases.push_back({{shape, with.low, with.high}});
  row.cases.push_back({extremes()});
  row.apply = [=](const Tensors& in, Dtype) { return Tensors{unary(op, in[0], with.a, with.b)}; };
  row.reference = [=](const Arrays& in, Dtype) {
    return Arrays{reference::map(in[0], [=](double x) { return reference::unary(op, x, with.a, with.b); })};
  };
  if (op == UnaryOp::leaky_relu) {
    row.refused = {{"a negative slope", [] { unary(UnaryOp::leaky_relu, zeros({2}), -0.1); }},
                   {"no number", [] { unary(UnaryOp::leaky_relu, zeros({2}), kNan); }}};
  }
  return row;
}

// At whole numbers, halves and their neighbours, and numbers without a fraction.
Row halves_row(UnaryOp op) {
  Row row = unary_row(op, {}, " at halves");
  std::vector<double> values = {0x1p23, 0x1p24 + 2, -0x1p23, 0x1p31, 0x1p52, 0x1p60, 0x1p22 + 0.5};
  for (double x = -4; x <= 4; x += 0.5) {
    values.insert(values.end(), {x, std::nextafter(x, kInfinity), std::nextafter(x, -kInfinity)});
  }
  row.cases = {{{{static_cast<int64_t>(values.size())}, 0, 0, values}}};
  return row;
}

// Pairs of shapes that broadcast.
std::vector<std::pair<Shape, Shape>> broadcast_pairs() {
  std::vector<std::pair<Shape, Shape>> pairs = {
      {{5, 1}, {1, 7}},    {{3, 1, 63}, {63}},     {{}, {33}},          {{17, 33}, {1}},
      {{0}, {1}},          {{1}, {0, 3}},          {{2, 3, 5}, {3, 1}}, {{2, 1, 5}, {1, 3, 1}},
      {{300, 257}, {257}}, {{300, 257}, {300, 1}}, {{1, 17}, {17}},     {{2, 3, 1, 5}, {7, 1}}};
  for (const Shape& shape : common_shapes()) pairs.emplace_back(shape, shape);
  return pairs;
}

Row binary_row(BinaryOp op) {
  const bool arithmetic = op <= BinaryOp::minimum;
  Row row{.name = name(op), .function = name(op), .dtypes = arithmetic ? kFloatingAndIntegers : kFloating};
  const double low = op == BinaryOp::divide ? 1 : -9;
  for (const auto& [x, y] : broadcast_pairs()) row.cases.push_back({{x, -9, 9}, {y, low, 9}});
  row.apply = [=](const Tensors& in, Dtype) { return Tensors{binary(op, in[0], in[1])}; };
  row.reference = [=](const Arrays& in, Dtype dtype) {
    return Arrays{reference::zip(in[0], in[1], [=](double x, double y) {
      if (dtype == Dtype::int32 && op == BinaryOp::divide) return reference::Number{std::trunc(x / y), 0};
      return reference::binary(op, x, y);
    })};
  };
  row.refused_shapes = {{{{3}}, {{4}}}, {{{2, 3}}, {{2}}}};
  row.refused = {{"two dtypes", [=] { binary(op, zeros({2}), zeros({2}, Dtype::float64)); }}};
  return row;
}

// Every pair of extreme numbers; a gradient's second argument is 1.
Row binary_extremes_row(BinaryOp op) {
  Row row = binary_row(op);
  row.name += " of extreme numbers";
  row.dtypes = kFloating;
  const auto count = static_cast<int64_t>(kExtremes.size());
  Input x{{count, 1}, 0, 0, kExtremes};
  const bool gradient = op > BinaryOp::minimum;
  // A derivative at infinity is left open.
  for (double& value : x.values) value = gradient && std::isinf(value) ? std::copysign(100, value) : value;
  row.cases = {{x, gradient ? Input{{1}, 1, 1} : Input{{count}, 0, 0, kExtremes}}};
  row.layouts = {Layout::dense};
  row.refused_shapes = {};
  row.refuses_other_dtypes = false;
  return row;
}

constexpr const char* kCompareNames[] = {"equal",      "not_equal", "less",
                                         "less_equal", "greater",   "greater_equal"};
static_assert(std::size(kCompareNames) == static_cast<size_t>(CompareOp::kCount));

Row compare_row(CompareOp op) {
  Row row{.name = fmt::format("compare {}", kCompareNames[static_cast<size_t>(op)]),
          .function = "compare",
          .dtypes = kAllDtypes};
  const std::vector<double> some = {0, 1, 2, 3, 2, 1, 0.0, 3, 1}, others = {1, 1, 2, 0, 3, 2, -0.0, 3};
  for (const auto& [x, y] : broadcast_pairs()) row.cases.push_back({{x, 0, 0, some}, {y, 0, 0, others}});
  row.apply = [=](const Tensors& in, Dtype) { return Tensors{compare(op, in[0], in[1])}; };
  row.reference = [=](const Arrays& in, Dtype) {
    return Arrays{reference::zip(in[0], in[1], [=](double x, double y) {
      return reference::Number{reference::compare(op, x, y) ? 1.0 : 0.0, 0};
    })};
  };
  row.refused_shapes = {{{{3}}, {{4}}}};
  row.refused = {{"two dtypes", [=] { compare(op, zeros({2}), zeros({2}, Dtype::float64)); }}};
  return row;
}

Row compare_extremes_row(CompareOp op) {
  Row row = compare_row(op);
  row.name += " of extreme numbers";
  row.dtypes = kFloating;
  const auto count = static_cast<int64_t>(kExtremes.size());
  row.cases = {{{{count, 1}, 0, 0, kExtremes}, {{count}, 0, 0, kExtremes}}};
  row.layouts = {Layout::dense};
  row.refused_shapes = {};
  row.refuses_other_dtypes = false;
  return row;
}

Row logic_row(const char* name, Tensor (*apply)(const Tensor&, const Tensor&), bool (*holds)(bool, bool)) {
  Row row{.name = name, .function = name, .dtypes = {Dtype::uint8}};
  for (const auto& [x, y] : broadcast_pairs()) {
    row.cases.push_back({{x, 0, 0, {0, 1, 1, 0, 2, 255}}, {y, 0, 0, {0, 1, 0, 1, 1}}});
  }
  row.apply = [=](const Tensors& in, Dtype) { return Tensors{apply(in[0], in[1])}; };
  row.reference = [=](const Arrays& in, Dtype) {
    return Arrays{reference::zip(in[0], in[1], [=](double x, double y) {
      return reference::Number{holds(x != 0, y != 0) ? 1.0 : 0.0, 0};
    })};
  };
  row.refused_shapes = {{{{3}}, {{4}}}, {{{2, 3}}, {{2}}}};
  return row;
}

Row logical_not_row() {
  Row row{.name = "logical_not", .function = "logical_not", .dtypes = {Dtype::uint8}};
  for (const Shape& shape : common_shapes()) row.cases.push_back({{shape, 0, 0, {0, 1, 1, 0, 2, 255}}});
  row.apply = [](const Tensors& in, Dtype) { return Tensors{logical_not(in[0])}; };
  row.reference = [](const Arrays& in, Dtype) {
    return Arrays{reference::map(in[0], [](double x) { return reference::Number{x == 0 ? 1.0 : 0.0, 0}; })};
  };
  return row;
}

Row where_row() {
  Row row{.name = "where", .function = "where", .dtypes = kAllDtypes};
  for (const auto& [x, y] : broadcast_pairs()) {
    const Input condition{x, 0, 0, {1, 0, 0, 1, 1, 0, 1}, Dtype::uint8};
    row.cases.push_back({condition, {y, 0, 200}, {x, 0, 200}});
  }
  row.apply = [](const Tensors& in, Dtype) { return Tensors{where(in[0], in[1], in[2])}; };
  row.reference = [](const Arrays& in, Dtype) { return Arrays{reference::where(in[0], in[1], in[2])}; };
  const Input condition{{4}, 0, 2, {}, Dtype::uint8};
  row.refused_shapes = {{condition, {{3}}, {{4}}}, {condition, {{3}}, {{3}}}};
  row.refused = {
      {"a condition of float32", [] { where(zeros({2}), zeros({2}), zeros({2})); }},
      {"two dtypes", [] { where(zeros({2}, Dtype::uint8), zeros({2}), zeros({2}, Dtype::float64)); }}};
  return row;
}

Row add_into_row() {
  Row row{.name = "add_into", .function = "add_into", .dtypes = kFloating};
  for (const auto& [x, y] : {std::pair<Shape, Shape>{{17, 33}, {33}},
                             {{2, 3, 5}, {3, 1}},
                             {{0}, {1}},
                             {{}, {}},
                             {{63}, {63}},
                             {{300, 257}, {300, 1}},
                             {{70001}, {70001}}}) {
    row.cases.push_back({{x}, {y}});
  }
  row.apply = [](const Tensors& in, Dtype) {
    const Tensor target = copy_of(in[0]);
    add_into(target, in[1]);
    return Tensors{target};
  };
  row.reference = [](const Arrays& in, Dtype) {
    return Arrays{reference::zip(in[0], in[1],
                                 [](double x, double y) { return reference::binary(BinaryOp::add, x, y); })};
  };
  row.refused_shapes = {{{{3}}, {{4}}}, {{{3}}, {{2, 3}}}};
  row.refused = {{"a target that is not dense",
                  [] {
                    add_into(transpose(zeros({2, 3})), zeros({2}));
                  }},
                 {"two dtypes", [] { add_into(zeros({2}), zeros({2}, Dtype::float64)); }}};
  return row;
}

constexpr RandomPosition kPosition{99, 3, 12345};

Row dropout_row(double probability) {
  Row row{.name = fmt::format("dropout {}", probability), .function = "dropout", .dtypes = kFloating};
  for (const Shape& shape : common_shapes()) row.cases.push_back({{shape}});
  row.apply = [=](const Tensors& in, Dtype) { return Tensors{dropout(in[0], probability, kPosition)}; };
  row.reference = [=](const Arrays& in, Dtype) {
    return Arrays{reference::dropout(in[0], probability, kPosition)};
  };
  row.refused = {{"a probability of 1", [] { dropout(zeros({2}), 1, kPosition); }},
                 {"a negative probability", [] { dropout(zeros({2}), -0.1, kPosition); }},
                 {"no number", [] { dropout(zeros({2}), kNan, kPosition); }}};
  return row;
}

Row dropout_counters_row() {
  Row row{.name = "dropout_counters", .function = "dropout_counters", .dtypes = {Dtype::float32}};
  for (const Shape& shape : common_shapes()) row.cases.push_back({{shape}});
  row.apply = [](const Tensors& in, Dtype) {
    return Tensors{full({}, static_cast<double>(dropout_counters(in[0].elements())))};
  };
  // One 32-bit word an element, four a counter.
  row.reference = [](const Arrays& in, Dtype) {
    return Arrays{Array(Shape{}, std::ceil(static_cast<double>(in[0].values.size()) / 4))};
  };
  row.refuses_other_dtypes = false;
  row.optional_inputs = {0};
  row.layouts = {Layout::dense};
  return row;
}

}  // namespace

std::vector<Row> elementwise_rows() {
  std::vector<Row> rows;
  for (int op = 0; op < static_cast<int>(UnaryOp::kCount); ++op) {
    rows.push_back(unary_row(static_cast<UnaryOp>(op), arguments(static_cast<UnaryOp>(op))));
  }
  rows.push_back(unary_row(UnaryOp::power, {2, 0, -3, 3}, " 2"));
  rows.push_back(unary_row(UnaryOp::power, {-0.5, 0, 0.01, 9}, " -0.5"));
  rows.push_back(unary_row(UnaryOp::leaky_relu, {0}, " without a slope"));
  rows.push_back(unary_row(UnaryOp::exp, {0, 0, -90, 90}, " over its range"));
  rows.push_back(unary_row(UnaryOp::tanh, {0, 0, -0.01, 0.01}, " near 0"));
  rows.push_back(unary_row(UnaryOp::erf, {0, 0, -0.01, 0.01}, " near 0"));
  rows.push_back(unary_row(UnaryOp::erfinv, {}, " near 1"));
  rows.back().cases = {{{{17, 33}, 0.9999, 1}}};
  rows.push_back(unary_row(UnaryOp::log_ndtr, {}, " in its tails"));
  rows.back().cases = {{{{17, 33}, -200, 15}}};
  for (UnaryOp op : {UnaryOp::floor, UnaryOp::ceil, UnaryOp::round}) rows.push_back(halves_row(op));
  for (int op = 0; op < static_cast<int>(BinaryOp::kCount); ++op) {
    rows.push_back(binary_row(static_cast<BinaryOp>(op)));
    rows.push_back(binary_extremes_row(static_cast<BinaryOp>(op)));
  }
  for (int op = 0; op < static_cast<int>(CompareOp::kCount); ++op) {
    rows.push_back(compare_row(static_cast<CompareOp>(op)));
    rows.push_back(compare_extremes_row(static_cast<CompareOp>(op)));
  }
  rows.push_back(logic_row("logical_and", logical_and, [](bool x, bool y) { return x && y; }));
  rows.push_back(logic_row("logical_or", logical_or, [](bool x, bool y) { return x || y; }));
  rows.push_back(logic_row("logical_xor", logical_xor, [](bool x, bool y) { return x != y; }));
  rows.push_back(logical_not_row());
  rows.push_back(where_row());
  rows.push_back(add_into_row());
  for (double probability : {0.0, 0.1, 0.5, 0.999}) rows.push_back(dropout_row(probability));
  rows.push_back(dropout_counters_row());
  return rows;
}

}  // namespace haze::test
