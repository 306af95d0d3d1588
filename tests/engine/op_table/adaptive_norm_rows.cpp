#include "engine/op_table/reference.h"
#include "engine/op_table/table.h"

// Norms and residual branches that are modulated by the sequence of a row.
namespace haze::test {
namespace {

constexpr double kEpsilon = 1e-5;

// Inputs: `rows` of [rows, columns], `modulations` of [sequences, columns], index.
std::vector<Case> cases_of(size_t rows, size_t modulations) {
  std::vector<Case> cases;
  for (const Shape& shape : {Shape{0, 5, 2}, Shape{1, 17, 1}, Shape{7, 1, 3}, Shape{9, 16, 4},
                             Shape{9, 33, 20}, Shape{300, 63, 3}, Shape{300, 257, 2}}) {
    Case inputs(rows, Input{{shape[0], shape[1]}});
    inputs.insert(inputs.end(), modulations, Input{{shape[2], shape[1]}});
    inputs.push_back(indices({shape[0]}, shape[2]));
    cases.push_back(inputs);
  }
  return cases;
}

std::vector<size_t> rows_of(const Array& index, int64_t sequence) {
  std::vector<size_t> rows;
  for (size_t i = 0; i < index.values.size(); ++i) {
    if (static_cast<int64_t>(index.values[i]) == sequence) rows.push_back(i);
  }
  return rows;
}

// Rows of x, or of one row: plus `shift`.
Array taken(const Array& x, const std::vector<size_t>& rows, double shift = 0) {
  const auto columns = static_cast<size_t>(x.shape[1]);
  Array result({std::ssize(rows), x.shape[1]});
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t c = 0; c < columns; ++c)
      result.values[i * columns + c] = x.values[rows[i] * columns + c] + shift;
  }
  return result;
}

Array row_of(const Array& x, int64_t row, double shift = 0) {
  Array result = taken(x, {static_cast<size_t>(row)}, shift);
  result.shape = {x.shape[1]};
  return result;
}

void put(Array& x, const std::vector<size_t>& rows, const Array& from) {
  const auto columns = static_cast<size_t>(x.shape[1]);
  for (size_t i = 0; i < rows.size() * columns; ++i) {
    const size_t at = rows[i / columns] * columns + i % columns;
    x.values[at] = from.values[i];
    x.error[at] = from.error[i];
  }
}

// Inputs: x, scale, shift, index.
Arrays norm_reference(const Arrays& in, Dtype) {
  const int64_t rows = in[0].shape[0];
  Arrays result{Array(in[0].shape), Array({rows}), Array({rows})};
  for (int64_t s = 0; s < in[1].shape[0]; ++s) {
    const std::vector<size_t> own = rows_of(in[3], s);
    const Array shift = row_of(in[2], s);
    reference::Norm norm = reference::layer_norm(taken(in[0], own), row_of(in[1], s, 1), shift, kEpsilon);
    for (size_t i = 0; i < norm.output.values.size(); ++i) {
      // 1 + scale is rounded, too.
      norm.output.error[i] += std::abs(norm.output.values[i] - shift.values[i % shift.values.size()]);
    }
    put(result[0], own, norm.output);
    for (size_t i = 0; i < own.size(); ++i) {
      result[1].values[own[i]] = norm.mean.values[i];
      result[1].error[own[i]] = norm.mean.error[i];
      result[2].values[own[i]] = norm.rstd.values[i];
      result[2].error[own[i]] = norm.rstd.error[i];
    }
  }
  return result;
}

void refuse_common(
    Row& row, const std::function<void(const Tensor& x, const Tensor& scale, const Tensor& index)>& call) {
  const Tensor x = zeros({2, 4}), scale = zeros({3, 4}), index = zeros({2}, Dtype::int32);
  for (const double sequence : {-1.0, static_cast<double>(row.cases.back()[2].shape[0])}) {
    Case inputs = row.cases.back();
    inputs.back().values = {0, sequence};
    row.refused_values.push_back(inputs);
  }
  row.refused.push_back({"an index of float32", [=] { call(x, scale, zeros({2})); }});
  row.refused.push_back({"an index of another extent", [=] { call(x, scale, zeros({3}, Dtype::int32)); }});
  row.refused.push_back({"a modulation of another width", [=] { call(x, zeros({3, 5}), index); }});
  row.refused.push_back({"a modulation of another dtype", [=] {
                           call(x, zeros({3, 4}, Dtype::float64), index);
                         }});
  row.refused.push_back({"three axes", [=] { call(zeros({2, 4, 1}), scale, index); }});
}

Row norm_row() {
  Row row{.name = "adaptive_layer_norm",
          .function = "adaptive_layer_norm",
          .dtypes = kReal,
          .cases = cases_of(1, 2)};
  row.apply = [](const Tensors& in, Dtype) {
    const NormResult result = adaptive_layer_norm(in[0], in[1], in[2], in[3], kEpsilon);
    return Tensors{result.output, result.mean, result.rstd};
  };
  row.reference = norm_reference;
  row.refused_shapes = {{{{2, 4}}, {{3, 4}}, {{2, 4}}, indices({2}, 2)}};
  refuse_common(row, [](const Tensor& x, const Tensor& scale, const Tensor& index) {
    adaptive_layer_norm(x, scale, scale, index, kEpsilon);
  });
  return row;
}

// Inputs: g, x, scale, index.
Row norm_gradient_row() {
  Row row{.name = "adaptive_layer_norm_gradient",
          .function = "adaptive_layer_norm_gradient",
          .dtypes = kReal,
          .cases = cases_of(2, 1)};
  row.apply = [](const Tensors& in, Dtype) {
    NormResult saved;  // where x is undefined, the gradient is the one to say so
    if (in[1].defined()) saved = layer_norm(in[1], Tensor(), Tensor(), kEpsilon);
    const NormGradient result = adaptive_layer_norm_gradient(in[0], in[1], in[2], in[3], saved);
    return Tensors{result.x, result.weight, result.bias};
  };
  row.reference = [](const Arrays& in, Dtype) {
    Arrays result{Array(in[1].shape), Array(in[2].shape), Array(in[2].shape)};
    for (int64_t s = 0; s < in[2].shape[0]; ++s) {
      const std::vector<size_t> own = rows_of(in[3], s);
      const reference::NormGradients gradients =
          reference::layer_norm_gradient(taken(in[0], own), taken(in[1], own), row_of(in[2], s, 1), kEpsilon);
      put(result[0], own, gradients.x);
      put(result[1], {static_cast<size_t>(s)}, gradients.weight);
      put(result[2], {static_cast<size_t>(s)}, gradients.bias);
    }
    return result;
  };
  row.refuses_other_dtypes = false;
  const NormResult saved = layer_norm(zeros({2, 4}), Tensor(), Tensor(), kEpsilon);
  refuse_common(row, [=](const Tensor& x, const Tensor& scale, const Tensor& index) {
    adaptive_layer_norm_gradient(x, x, scale, index, saved);
  });
  row.refused.push_back({"a gradient of another shape", [=] {
                           adaptive_layer_norm_gradient(zeros({3, 4}), zeros({2, 4}), zeros({1, 4}),
                                                        zeros({2}, Dtype::int32), saved);
                         }});
  return row;
}

// Inputs: x, branch, gate, index.
Row gated_add_row() {
  Row row{.name = "gated_add", .function = "gated_add", .dtypes = kReal, .cases = cases_of(2, 1)};
  row.apply = [](const Tensors& in, Dtype) { return Tensors{gated_add(in[0], in[2], in[1], in[3])}; };
  row.reference = [](const Arrays& in, Dtype) {
    Array result = reference::index_select(in[2], 0, in[3]);
    for (size_t i = 0; i < result.values.size(); ++i) {
      const double x = in[0].values[i], term = result.values[i] * in[1].values[i];
      result.values[i] = x + term;
      result.error[i] = std::abs(term) + std::abs(x + term);
    }
    return Arrays{result};
  };
  refuse_common(
      row, [](const Tensor& x, const Tensor& gate, const Tensor& index) { gated_add(x, gate, x, index); });
  row.refused.push_back({"a branch of another shape", [] {
                           gated_add(zeros({2, 4}), zeros({1, 4}), zeros({1, 4}), zeros({2}, Dtype::int32));
                         }});
  return row;
}

// Inputs: g, branch, gate, index.
Row gated_add_gradient_row() {
  Row row{.name = "gated_add_gradient",
          .function = "gated_add_gradient",
          .dtypes = kReal,
          .cases = cases_of(2, 1)};
  row.apply = [](const Tensors& in, Dtype) {
    const auto [gate, branch] = gated_add_gradient(in[0], in[2], in[1], in[3]);
    return Tensors{gate, branch};
  };
  row.reference = [](const Arrays& in, Dtype) {
    Array products = in[0], magnitudes = in[0], branch = reference::index_select(in[2], 0, in[3]);
    for (size_t i = 0; i < products.values.size(); ++i) {
      products.values[i] *= in[1].values[i];
      magnitudes.values[i] = std::abs(products.values[i]);
      branch.values[i] *= in[0].values[i];
      branch.error[i] = std::abs(branch.values[i]);
    }
    const Array zero(in[2].shape);
    Array gate = reference::index_add(zero, 0, in[3], products);
    const Array sizes = reference::index_add(zero, 0, in[3], magnitudes);
    for (size_t i = 0; i < gate.values.size(); ++i)
      gate.error[i] = reference::rounding_of_sum(in[0].shape[0]) * sizes.values[i];
    return Arrays{gate, branch};
  };
  row.refuses_other_dtypes = false;
  refuse_common(row, [](const Tensor& x, const Tensor& gate, const Tensor& index) {
    gated_add_gradient(x, gate, x, index);
  });
  return row;
}

}  // namespace

std::vector<Row> adaptive_norm_rows() {
  return {norm_row(), norm_gradient_row(), gated_add_row(), gated_add_gradient_row()};
}

}  // namespace haze::test
