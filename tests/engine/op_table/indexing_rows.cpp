#include <limits>

#include "engine/op_table/reference.h"
#include "engine/op_table/table.h"

// Indexing, and draws from categorical distributions.
namespace haze::test {
namespace {

// Inputs with an index below 0 and one at the extent, and indices of float32.
void refuse_indices_outside(Row& row, Case inputs, size_t which, int64_t extent) {
  for (const double index : {-1.0, static_cast<double>(extent)}) {
    inputs[which].values = {0, index};
    row.refused_values.push_back(inputs);
  }
  inputs[which] = {inputs[which].shape, 0, 1, {}, Dtype::float32};
  row.refused_shapes.push_back(inputs);
}

Row embedding_row() {
  Row row{.name = "embedding", .function = "embedding", .dtypes = kAllDtypes};
  for (int64_t width : {0, 1, 16, 33}) {
    row.cases.push_back({{{13, width}, 0, 200}, indices({3, 5}, 13)});
  }
  row.cases.push_back({{{13, 5}, 0, 200}, indices({}, 13)});
  row.cases.push_back({{{13, 5}, 0, 200}, indices({0}, 13)});
  row.cases.push_back({{{100, 257}, 0, 200}, indices({300}, 100)});
  row.apply = [](const Tensors& in, Dtype) { return Tensors{embedding(in[0], in[1])}; };
  row.reference = [](const Arrays& in, Dtype) {
    Array flat = in[1];
    flat.shape = {in[1].shape.elements()};
    Array result = reference::index_select(in[0], 0, flat);
    result.shape = in[1].shape;
    result.shape.append(in[0].shape[1]);
    return Arrays{result};
  };
  row.refused_shapes = {{{{3}}, indices({2}, 3)}, {{{3, 4, 5}}, indices({2}, 3)}};
  refuse_indices_outside(row, {{{3, 2}}, indices({2}, 3)}, 1, 3);
  return row;
}

Row embedding_gradient_row() {
  Row row{.name = "embedding_gradient", .function = "embedding_gradient", .dtypes = kFloating};
  for (int64_t width : {0, 1, 16, 33}) row.cases.push_back({{{3, 5, width}}, indices({3, 5}, 13)});
  row.cases.push_back({{{0, 4}}, indices({0}, 13)});
  row.cases.push_back({{{700, 101}}, indices({700}, 13)});
  row.apply = [](const Tensors& in, Dtype) { return Tensors{embedding_gradient(in[0], in[1], 13)}; };
  row.reference = [](const Arrays& in, Dtype) {
    const int64_t count = in[1].shape.elements(), width = in[0].shape.back();
    Array flat = in[1], g = in[0];
    flat.shape = {count};
    g.shape = {count, width};
    return Arrays{reference::index_add(Array({13, width}), 0, flat, g)};
  };
  row.refused_shapes = {{{{3, 4}}, indices({2}, 13)}, {{{3}}, indices({3}, 13)}, {{{}}, indices({}, 13)}};
  refuse_indices_outside(row, {{{2, 4}}, indices({2}, 13)}, 1, 13);
  row.refused.push_back({"a negative vocabulary", [] {
                           embedding_gradient(zeros({2, 4}), zeros({2}, Dtype::int32), -1);
                         }});
  return row;
}

std::vector<std::pair<Shape, int>> axes_of_shapes() {
  return {{{7}, 0},       {{5, 7}, 0},     {{5, 7}, -1},      {{3, 4, 5}, 1},
          {{3, 0, 5}, 2}, {{1, 17, 1}, 1}, {{30, 257, 9}, 1}, {{7, 10007}, 0}};
}

std::vector<Row> index_rows() {
  std::vector<Row> rows;
  for (const auto& [shape, axis] : axes_of_shapes()) {
    const int a = axis < 0 ? axis + shape.rank() : axis;
    for (int64_t count : {0, 1, 9}) {
      const Input x{shape, 0, 200}, which = indices({count}, shape[a]);
      Shape taken = shape;
      taken[a] = count;
      const std::string text = fmt::format("{} axis {}", shape.to_string(), axis);
      Row select{.name = "index_select " + text,
                 .function = "index_select",
                 .dtypes = kAllDtypes,
                 .cases = {{x, which}}};
      select.apply = [axis = axis](const Tensors& in, Dtype) {
        return Tensors{index_select(in[0], axis, in[1])};
      };
      select.reference = [axis = axis](const Arrays& in, Dtype) {
        return Arrays{reference::index_select(in[0], axis, in[1])};
      };
      rows.push_back(select);
      Row add{.name = "index_add_into " + text,
              .function = "index_add_into",
              .dtypes = kFloatingAndIntegers,
              .cases = {{{shape, -9, 9}, which, {taken, -9, 9}}}};
      add.apply = [axis = axis](const Tensors& in, Dtype) {
        const Tensor target = copy_of(in[0]);
        index_add_into(target, axis, in[1], in[2]);
        return Tensors{target};
      };
      add.reference = [axis = axis](const Arrays& in, Dtype) {
        return Arrays{reference::index_add(in[0], axis, in[1], in[2])};
      };
      rows.push_back(add);
    }
  }
  Row& select = rows[0];
  refuse_indices_outside(select, {{{3, 2}}, indices({2}, 3)}, 1, 3);
  select.refused.push_back(
      {"an axis outside", [] { index_select(zeros({3}), 1, zeros({2}, Dtype::int32)); }});
  select.refused.push_back({"indices of two axes", [] {
                              index_select(zeros({3}), 0, zeros({2, 2}, Dtype::int32));
                            }});
  Row& add = rows[1];
  refuse_indices_outside(add, {{{3, 2}}, indices({2}, 3), {{2, 2}}}, 1, 3);
  const Tensor two = zeros({2}, Dtype::int32);
  add.refused.push_back({"a source of another shape", [=] {
                           index_add_into(zeros({3, 2}), 0, two, zeros({3, 2}));
                         }});
  add.refused.push_back(
      {"a source of another dtype", [=] { index_add_into(zeros({3}), 0, two, zeros({2}, Dtype::float64)); }});
  add.refused.push_back({"a target that is not dense", [=] {
                           index_add_into(transpose(zeros({2, 3})), 0, two, zeros({2, 2}));
                         }});
  return rows;
}

std::vector<Row> gather_rows() {
  std::vector<Row> rows;
  for (const auto& [shape, axis] : axes_of_shapes()) {
    const int a = axis < 0 ? axis + shape.rank() : axis;
    Shape smaller = shape;
    for (int i = 0; i < shape.rank(); ++i) smaller[i] = (shape[i] + 1) / 2;
    Row row{.name = fmt::format("gather {} axis {}", shape.to_string(), axis),
            .function = "gather",
            .dtypes = kAllDtypes,
            .cases = {{{shape, 0, 200}, indices(shape, shape[a])},
                      {{shape, 0, 200}, indices(smaller, shape[a])}}};
    row.apply = [axis = axis](const Tensors& in, Dtype) { return Tensors{gather(in[0], axis, in[1])}; };
    row.reference = [axis = axis](const Arrays& in, Dtype) {
      return Arrays{reference::gather(in[0], axis, in[1])};
    };
    rows.push_back(row);
    row.name = fmt::format("scatter_add {} axis {}", shape.to_string(), axis);
    row.function = "scatter_add";
    row.dtypes = kFloating;
    row.cases = {{{shape}, indices(shape, shape[a]), {shape}},
                 {{shape}, indices(smaller, shape[a]), {smaller}}};
    row.apply = [axis = axis](const Tensors& in, Dtype) {
      return Tensors{scatter_add(in[0], axis, in[1], in[2])};
    };
    row.reference = [axis = axis](const Arrays& in, Dtype) {
      return Arrays{reference::scatter_add(in[0], axis, in[1], in[2])};
    };
    rows.push_back(row);
  }
  Row& row = rows[0];
  row.refused_shapes = {{{{7, 7}}, indices({7}, 7)}, {{{7}}, indices({8}, 7)}};
  refuse_indices_outside(row, {{{3}}, indices({2}, 3)}, 1, 3);
  row.refused.push_back({"an axis outside", [] { gather(zeros({3}), 1, zeros({2}, Dtype::int32)); }});
  Row& add = rows[1];
  add.refused_shapes = {{{{7}}, indices({3}, 7), {{4}}}, {{{7}}, indices({8}, 7), {{8}}}};
  refuse_indices_outside(add, {{{3}}, indices({2}, 3), {{2}}}, 1, 3);
  add.refused.push_back({"a source of another dtype", [] {
                           scatter_add(zeros({3}), 0, zeros({2}, Dtype::int32), zeros({2}, Dtype::float64));
                         }});
  return rows;
}

Row categorical_row() {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  static constexpr RandomPosition kPosition{5, 6, 7};
  Row row{.name = "categorical", .function = "categorical", .dtypes = kFloating};
  row.cases = {{{{0, 5}}},
               {{{1, 1}}},
               {{{17, 1}}},
               {{{33, 3}, -9, 3}},
               {{{300, 17}, 0, 0, {-1, -kInfinity, -30, 0.5, -1e4}}},
               {{{63, 1000}, -5, 5}},
               {{{3, 70001}, -12, 0}}};
  row.apply = [](const Tensors& in, Dtype) { return Tensors{categorical(in[0], kPosition)}; };
  row.reference = [](const Arrays& in, Dtype) { return Arrays{reference::categorical(in[0], kPosition)}; };
  row.refused_shapes = {{{{3}}}, {{{2, 3, 4}}}, {{{2, 0}}}};
  row.refused_values = {{{{2, 3}, 0, 0, {0, 0, std::nan("")}}},
                        {{{2, 3}, 0, 0, {0, 0, kInfinity}}},
                        {{{2, 3}, 0, 0, {-kInfinity}}}};
  return row;
}

Row categorical_of_uniforms_row() {
  Row row{.name = "categorical of uniforms", .function = "categorical", .dtypes = kFloating};
  for (const Shape& shape : {Shape{0, 5}, Shape{17, 1}, Shape{33, 3}, Shape{63, 1000}, Shape{300, 17}}) {
    row.cases.push_back({{shape, -5, 5}, {{shape[0]}, 0, 1, {}, Dtype::float64}});
  }
  row.cases.push_back({{{3, 4}}, {{3}, 0, 0, {0, 1 - 0x1p-53, 0.5}, Dtype::float64}});
  row.apply = [](const Tensors& in, Dtype) { return Tensors{categorical(in[0], in[1])}; };
  row.reference = [](const Arrays& in, Dtype) { return Arrays{reference::categorical(in[0], in[1])}; };
  const auto uniforms = [](const Shape& shape, double value) {
    return Input{shape, 0, 0, {value}, Dtype::float64};
  };
  row.refused_shapes = {{{{2, 3}}, uniforms({3}, 0.5)},
                        {{{2, 3}}, uniforms({2, 1}, 0.5)},
                        {{{2, 3}}, {{2}, 0, 1, {}, Dtype::float32}}};
  row.refused_values = {
      {{{2, 3}}, uniforms({2}, 1)}, {{{2, 3}}, uniforms({2}, -0.1)}, {{{2, 3}}, uniforms({2}, std::nan(""))}};
  return row;
}

// The last of several elements for one place stays.
Array written(const Array& x, int axis, const Array& index, const Array& source) {
  Array result = x;
  for (size_t i = 0; i < index.values.size(); ++i) {
    Shape to = reference::index_of(static_cast<int64_t>(i), index.shape);
    to[axis < 0 ? axis + to.rank() : axis] = static_cast<int64_t>(index.values[i]);
    result.values[reference::number_of(to, x.shape)] = source.values[i];
  }
  return result;
}

std::vector<Row> scatter_rows() {
  std::vector<Row> rows;
  for (const auto& [shape, axis] : axes_of_shapes()) {
    const int64_t extent = shape[axis < 0 ? axis + shape.rank() : axis];
    Shape smaller = shape;
    for (int i = 0; i < shape.rank(); ++i) smaller[i] = (shape[i] + 1) / 2;
    Row row{.name = fmt::format("scatter {} axis {}", shape.to_string(), axis),
            .function = "scatter",
            .dtypes = kAllDtypes,
            .cases = {{{shape, 0, 200}, indices(shape, extent), {shape, 0, 200}},
                      {{shape, 0, 200}, indices(smaller, extent), {smaller, 0, 200}}}};
    row.apply = [axis = axis](const Tensors& in, Dtype) {
      return Tensors{scatter(in[0], axis, in[1], in[2])};
    };
    row.reference = [axis = axis](const Arrays& in, Dtype) {
      return Arrays{written(in[0], axis, in[1], in[2])};
    };
    rows.push_back(row);
  }
  Row& row = rows[0];
  row.refused_shapes = {{{{7}}, indices({3}, 7), {{4}}}, {{{7}}, indices({8}, 7), {{8}}}};
  refuse_indices_outside(row, {{{3}}, indices({2}, 3), {{2}}}, 1, 3);
  row.refused.push_back({"a source of another dtype", [] {
                           scatter(zeros({3}), 0, zeros({2}, Dtype::int32), zeros({2}, Dtype::float64));
                         }});
  return rows;
}

// `rising` repeated in every row; values between and at its numbers, and beyond them.
Row searchsorted_row(bool right, bool one_row) {
  Row row{.name = fmt::format("searchsorted{}{}", right ? " right" : "", one_row ? " in one row" : ""),
          .function = "searchsorted",
          .dtypes = kFloatingAndIntegers};
  const std::vector<double> values = {-9, 3, 2.5, 0, 100, 1, 1.5, 7, 6, 8, -1};
  const auto rising = [](int64_t count, std::vector<double> last) {
    std::vector<double> result;
    for (int64_t i = 0; result.size() + last.size() < static_cast<size_t>(count); ++i) {
      result.push_back(static_cast<double>(i / 3));  // each number three times
    }
    result.insert(result.end(), last.begin(), last.end());
    return result;
  };
  for (const int64_t n : {1, 2, 7, 33, 1000}) {
    const auto of = [&](Shape leading, int64_t last) {
      if (one_row && last == n) return Shape{n};
      leading.append(last);
      return leading;
    };
    row.cases.push_back({{of({}, n), 0, 0, rising(n, {})}, {of({}, 11), 0, 0, values}});
    row.cases.push_back({{of({3}, n), 0, 0, rising(n, {})}, {of({3}, 22), 0, 0, values}});
    row.cases.push_back({{of({2, 3}, n), 0, 0, rising(n, {})}, {of({2, 3}, 5), 0, 0, values}});
  }
  row.apply = [=](const Tensors& in, Dtype) { return Tensors{searchsorted(in[0], in[1], right)}; };
  row.reference = [=](const Arrays& in, Dtype) {
    const int64_t n = in[0].shape.back(), m = one_row ? in[1].shape.elements() : in[1].shape.back();
    Array result(in[1].shape);
    for (size_t i = 0; i < result.values.size(); ++i) {
      const int64_t from = one_row ? 0 : static_cast<int64_t>(i) / m * n;
      for (int64_t j = 0; j < n; ++j) {
        const double at = in[0].values[static_cast<size_t>(from + j)], value = in[1].values[i];
        result.values[i] += at < value || (right && at == value) ? 1 : 0;
      }
    }
    return Arrays{result};
  };
  row.refused_shapes = {{{{}}, {{}}}, {{{2, 3}}, {{3, 3}}}, {{{2, 3}}, {{2}}}};
  row.refused = {{"two dtypes", [] { searchsorted(zeros({3}), zeros({3}, Dtype::float64)); }}};
  return row;
}

// A NaN is larger than every number, infinity too.
Row searchsorted_nan_row() {
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  Row row{.name = "searchsorted among NaN", .function = "searchsorted", .dtypes = kFloating};
  row.cases = {{{{5}, 0, 0, {-infinity, 1, infinity, nan, nan}}, {{4}, 0, 0, {-infinity, 2, infinity, nan}}}};
  row.layouts = {Layout::dense};
  row.apply = [](const Tensors& in, Dtype) {
    return Tensors{searchsorted(in[0], in[1]), searchsorted(in[0], in[1], true)};
  };
  row.reference = [](const Arrays&, Dtype) {
    Array left({4}), right({4});
    left.values = {0, 2, 2, 3};
    right.values = {1, 2, 3, 5};
    return Arrays{left, right};
  };
  row.refuses_other_dtypes = false;
  return row;
}

}  // namespace

std::vector<Row> indexing_rows() {
  std::vector<Row> rows = {embedding_row(), embedding_gradient_row()};
  for (Row& row : index_rows()) rows.push_back(std::move(row));
  for (Row& row : gather_rows()) rows.push_back(std::move(row));
  for (Row& row : scatter_rows()) rows.push_back(std::move(row));
  for (bool right : {false, true}) {
    for (bool one_row : {false, true}) rows.push_back(searchsorted_row(right, one_row));
  }
  rows.push_back(searchsorted_nan_row());
  rows.push_back(categorical_row());
  rows.push_back(categorical_of_uniforms_row());
  return rows;
}

}  // namespace haze::test
