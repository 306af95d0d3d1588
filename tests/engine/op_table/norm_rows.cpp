#include "engine/op_table/reference.h"
#include "engine/op_table/table.h"

namespace haze::test {
namespace {

constexpr double kEpsilon = 1e-5;

// Cases of x [..., columns] and `vectors` of [columns], after `same` more of the shape of x.
std::vector<Case> norm_cases(int same, int vectors) {
  std::vector<Case> cases;
  for (const Shape& shape : {Shape{1}, Shape{17}, Shape{0, 5}, Shape{7, 1}, Shape{2, 3, 5}, Shape{3, 15},
                             Shape{3, 16}, Shape{3, 32}, Shape{5, 63}, Shape{300, 257}, Shape{2, 40001}}) {
    Case inputs(static_cast<size_t>(1 + same), Input{shape});
    for (int i = 0; i < vectors; ++i) inputs.push_back({{shape.back()}});
    cases.push_back(inputs);
  }
  // A row without variance, and one far from zero.
  Case constant(static_cast<size_t>(1 + same), Input{{3, 33}});
  constant.back().values = {1.5};
  Case far(static_cast<size_t>(1 + same), Input{{3, 33}});
  far.back().low = 99;
  far.back().high = 101;
  for (Case* inputs : {&constant, &far}) {
    for (int i = 0; i < vectors; ++i) inputs->push_back({{33}});
    cases.push_back(*inputs);
  }
  return cases;
}

Tensor at(const Tensors& in, size_t i, bool used) {
  return used ? in[i] : Tensor();
}
Array at(const Arrays& in, size_t i, bool used) {
  return used ? in[i] : Array();
}

Row layer_norm_row(bool weight, bool bias) {
  Row row{.name = fmt::format("layer_norm{}{}", weight ? " weight" : "", bias ? " bias" : ""),
          .function = "layer_norm",
          .dtypes = kFloating,
          .cases = norm_cases(0, 2)};
  row.apply = [=](const Tensors& in, Dtype) {
    const NormResult result = layer_norm(in[0], at(in, 1, weight), at(in, 2, bias), kEpsilon);
    return Tensors{result.output, result.mean, result.rstd};
  };
  row.reference = [=](const Arrays& in, Dtype) {
    const reference::Norm result = reference::layer_norm(in[0], at(in, 1, weight), at(in, 2, bias), kEpsilon);
    return Arrays{result.output, result.mean, result.rstd};
  };
  row.optional_inputs = {1, 2};
  if (weight && bias)
    row.refused_shapes = {{{{3, 4}}, {{3}}, {{4}}}, {{{3, 4}}, {{4}}, {{3}}}, {{{}}, {{1}}, {{1}}}};
  row.refused = {{"a weight of another dtype", [] {
                    layer_norm(zeros({3, 4}), ones({4}, Dtype::float64), Tensor(), kEpsilon);
                  }}};
  return row;
}

Row rms_norm_row(bool weight) {
  Row row{.name = fmt::format("rms_norm{}", weight ? " weight" : ""),
          .function = "rms_norm",
          .dtypes = kFloating,
          .cases = norm_cases(0, 1)};
  row.apply = [=](const Tensors& in, Dtype) {
    const NormResult result = rms_norm(in[0], at(in, 1, weight), kEpsilon);
    return Tensors{result.output, result.rstd};
  };
  row.reference = [=](const Arrays& in, Dtype) {
    const reference::Norm result = reference::rms_norm(in[0], at(in, 1, weight), kEpsilon);
    return Arrays{result.output, result.rstd};
  };
  row.optional_inputs = {1};
  if (weight) row.refused_shapes = {{{{3, 4}}, {{3}}}, {{{}}, {{1}}}};
  return row;
}

// Inputs: g, x, weight.
Row gradient_row(const std::string& function, bool centred, bool weight, bool bias) {
  Row row{.name = fmt::format("{}{}{}", function, weight ? " weight" : "", bias ? " bias" : ""),
          .function = function,
          .dtypes = kFloating,
          .cases = norm_cases(1, 1)};
  row.apply = [=](const Tensors& in, Dtype) {
    const Tensor w = at(in, 2, weight);
    NormResult saved;  // where x is undefined, the gradient is the one to say so
    if (in[1].defined()) {
      saved = centred ? layer_norm(in[1], w, Tensor(), kEpsilon) : rms_norm(in[1], w, kEpsilon);
    }
    const NormGradient result = centred ? layer_norm_gradient(in[0], in[1], w, saved, bias)
                                        : rms_norm_gradient(in[0], in[1], w, saved);
    Tensors results = {result.x};
    if (weight) results.push_back(result.weight);
    if (bias) results.push_back(result.bias);
    return results;
  };
  row.reference = [=](const Arrays& in, Dtype) {
    const Array w = at(in, 2, weight);
    const reference::NormGradients result = centred
                                                ? reference::layer_norm_gradient(in[0], in[1], w, kEpsilon)
                                                : reference::rms_norm_gradient(in[0], in[1], w, kEpsilon);
    Arrays results = {result.x};
    if (weight) results.push_back(result.weight);
    if (bias) results.push_back(result.bias);
    return results;
  };
  row.optional_inputs = {2};
  row.refuses_other_dtypes = false;
  const auto call = [centred](const Tensor& g, const Tensor& x, const Tensor& w) {
    const Tensor good = zeros({3, 4});
    const NormResult saved =
        centred ? layer_norm(good, Tensor(), Tensor(), kEpsilon) : rms_norm(good, {}, kEpsilon);
    if (centred) {
      layer_norm_gradient(g, x, w, saved, true);
    } else {
      rms_norm_gradient(g, x, w, saved);
    }
  };
  row.refused = {
      {"a gradient of another shape",
       [=] {
         call(zeros({4}), zeros({3, 4}), ones({4}));
       }},
      {"a gradient of another dtype",
       [=] {
         call(zeros({3, 4}, Dtype::float64), zeros({3, 4}), ones({4}));
       }},
      {"a weight of another extent",
       [=] {
         call(zeros({3, 4}), zeros({3, 4}), ones({3}));
       }},
      {"int32",
       [=] {
         call(zeros({3, 4}, Dtype::int32), zeros({3, 4}, Dtype::int32), Tensor());
       }},
      {"uint8",
       [=] {
         call(zeros({3, 4}, Dtype::uint8), zeros({3, 4}, Dtype::uint8), Tensor());
       }},
  };
  return row;
}

// On axis 1 of three, which is the last of the transposed input.
Row other_axis_row(bool centred) {
  Row row{.name = fmt::format("{} axis 1", centred ? "layer_norm" : "rms_norm"),
          .function = centred ? "layer_norm" : "rms_norm",
          .dtypes = kFloating};
  for (const Shape& shape : {Shape{2, 3, 5}, Shape{3, 16, 2}, Shape{1, 33, 70}}) {
    row.cases.push_back({{shape}, {{shape[1]}}});
  }
  row.apply = [=](const Tensors& in, Dtype) {
    const NormResult result =
        centred ? layer_norm(in[0], in[1], Tensor(), kEpsilon, 1) : rms_norm(in[0], in[1], kEpsilon, -2);
    return Tensors{result.output, result.rstd};
  };
  row.reference = [=](const Arrays& in, Dtype) {
    const Array rows = reference::permute(in[0], {0, 2, 1});
    const reference::Norm result = centred ? reference::layer_norm(rows, in[1], {}, kEpsilon)
                                           : reference::rms_norm(rows, in[1], kEpsilon);
    Array error = result.output;
    error.values = result.output.error;
    Array output = reference::permute(result.output, {0, 2, 1});
    output.error = reference::permute(error, {0, 2, 1}).values;
    return Arrays{output, result.rstd};
  };
  row.optional_inputs = {1};
  row.refused = {{"an axis outside", [=] {
                    if (centred) layer_norm(zeros({3, 4}), Tensor(), Tensor(), kEpsilon, 2);
                    rms_norm(zeros({3, 4}), Tensor(), kEpsilon, 2);
                  }}};
  return row;
}

// Cases of `same` inputs of [batch, channels, ...] and `vectors` of [channels]; channels are multiples of 3.
std::vector<Case> group_cases(size_t same, size_t vectors) {
  std::vector<Case> cases;
  for (const Shape& shape : {Shape{1, 3}, Shape{0, 6, 2}, Shape{2, 3, 5}, Shape{3, 6, 3, 5}, Shape{2, 9, 17},
                             Shape{2, 12, 16, 16}, Shape{1, 3, 40001}}) {
    Case inputs(same, Input{shape});
    inputs.insert(inputs.end(), vectors, Input{{shape[1]}});
    cases.push_back(inputs);
  }
  Case far(same, Input{{2, 6, 7}, 99, 101});
  far.insert(far.end(), vectors, Input{{6}});
  cases.push_back(far);
  return cases;
}

Row group_norm_row(int64_t groups, bool weight, bool bias) {
  Row row{.name = fmt::format("group_norm {}{}{}", groups, weight ? " weight" : "", bias ? " bias" : ""),
          .function = "group_norm",
          .dtypes = kFloating,
          .cases = group_cases(1, 2)};
  row.apply = [=](const Tensors& in, Dtype) {
    const NormResult result = group_norm(in[0], at(in, 1, weight), at(in, 2, bias), groups, kEpsilon);
    return Tensors{result.output, result.mean, result.rstd};
  };
  row.reference = [=](const Arrays& in, Dtype) {
    const reference::Norm result =
        reference::group_norm(in[0], at(in, 1, weight), at(in, 2, bias), groups, kEpsilon);
    return Arrays{result.output, result.mean, result.rstd};
  };
  row.optional_inputs = {1, 2};
  if (groups != 3 || !weight || !bias) return row;
  row.refused_shapes = {{{{3}}, {{3}}, {{3}}},
                        {{{2, 4}}, {{4}}, {{4}}},
                        {{{2, 3, 5}}, {{5}}, {{3}}},
                        {{{2, 3, 5}}, {{3}}, {{1}}}};
  row.refused = {{"no group",
                  [] {
                    group_norm(zeros({2, 3}), Tensor(), Tensor(), 0, kEpsilon);
                  }},
                 {"a weight of another dtype", [] {
                    group_norm(zeros({2, 3}), ones({3}, Dtype::float64), Tensor(), 1, kEpsilon);
                  }}};
  return row;
}

// Inputs: g, x, weight.
Row group_gradient_row(int64_t groups, bool weight, bool bias) {
  Row row{
      .name = fmt::format("group_norm_gradient {}{}{}", groups, weight ? " weight" : "", bias ? " bias" : ""),
      .function = "group_norm_gradient",
      .dtypes = kFloating,
      .cases = group_cases(2, 1)};
  row.apply = [=](const Tensors& in, Dtype) {
    const Tensor w = at(in, 2, weight);
    NormResult saved;  // where x is undefined, the gradient is the one to say so
    if (in[1].defined()) saved = group_norm(in[1], Tensor(), Tensor(), groups, kEpsilon);
    const NormGradient result = group_norm_gradient(in[0], in[1], w, groups, saved, bias);
    Tensors results = {result.x};
    if (weight) results.push_back(result.weight);
    if (bias) results.push_back(result.bias);
    return results;
  };
  row.reference = [=](const Arrays& in, Dtype) {
    const reference::NormGradients result =
        reference::group_norm_gradient(in[0], in[1], at(in, 2, weight), groups, kEpsilon);
    Arrays results = {result.x};
    if (weight) results.push_back(result.weight);
    if (bias) results.push_back(result.bias);
    return results;
  };
  row.optional_inputs = {2};
  row.refuses_other_dtypes = false;
  const auto call = [groups](const Tensor& g, const Tensor& x, const Tensor& w) {
    const NormResult saved = group_norm(zeros({2, 3}), Tensor(), Tensor(), groups, kEpsilon);
    group_norm_gradient(g, x, w, groups, saved, true);
  };
  const Tensor good = zeros({2, 3});
  row.refused = {{"a gradient of another shape", [=] { call(zeros({2}), good, Tensor()); }},
                 {"a gradient of another dtype",
                  [=] {
                    call(zeros({2, 3}, Dtype::float64), good, {});
                  }},
                 {"a weight of another extent", [=] { call(good, good, ones({2})); }},
                 {"saved numbers of another shape",
                  [=] {
                    call(zeros({4, 3}), zeros({4, 3}), {});
                  }},
                 {"one axis", [=] { call(zeros({3}), zeros({3}), {}); }}};
  for (Dtype dtype : {Dtype::int32, Dtype::uint8}) {
    row.refused.push_back({std::string(name(dtype)), [=] {
                             call(zeros({2, 3}, dtype), zeros({2, 3}, dtype), {});
                           }});
  }
  return row;
}

}  // namespace

std::vector<Row> norm_rows() {
  std::vector<Row> rows;
  for (bool weight : {false, true}) {
    for (bool bias : {false, true}) {
      rows.push_back(layer_norm_row(weight, bias));
      rows.push_back(gradient_row("layer_norm_gradient", true, weight, bias));
    }
    rows.push_back(other_axis_row(weight));
    rows.push_back(rms_norm_row(weight));
    rows.push_back(gradient_row("rms_norm_gradient", false, weight, false));
    for (int64_t groups : {1, 3}) {
      rows.push_back(group_norm_row(groups, weight, !weight));
      rows.push_back(group_norm_row(groups, weight, weight));
      rows.push_back(group_gradient_row(groups, weight, weight));
    }
  }
  return rows;
}

}  // namespace haze::test
