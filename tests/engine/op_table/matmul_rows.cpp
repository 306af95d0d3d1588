#include "engine/op_table/reference.h"
#include "engine/op_table/table.h"

namespace haze::test {
namespace {

const std::vector<Dtype> kProduct = {Dtype::float32, Dtype::float64, Dtype::bfloat16};

const char* name_of(Activation activation) {
  switch (activation) {
    case Activation::none:
      return "none";
    case Activation::relu:
      return "relu";
    case Activation::gelu:
      return "gelu";
    case Activation::gelu_tanh:
      return "gelu_tanh";
    case Activation::silu:
      return "silu";
  }
  return "";
}

// The dtype that a product of `dtype` is computed in.
Dtype computed_in(Dtype dtype) {
  return dtype == Dtype::bfloat16 ? Dtype::float32 : dtype;
}

Row product_row(const std::string& name) {
  Row row{.name = name, .function = "matmul", .dtypes = kProduct};
  row.apply = [](const Tensors& in, Dtype) { return Tensors{matmul(in[0], in[1])}; };
  row.reference = [](const Arrays& in, Dtype) { return Arrays{reference::matmul(in[0], in[1]).output}; };
  return row;
}

// Every m, n and k, of operands that lie as they are or transposed.
Row sizes_row() {
  Row row = product_row("matmul");
  const std::vector<int64_t> sizes = {1, 2, 7, 16, 33, 130, 300};
  for (int64_t m : sizes) {
    for (int64_t n : sizes) {
      for (int64_t k : sizes) row.cases.push_back({{{m, k}}, {{k, n}}});
    }
  }
  row.layouts = {Layout::dense, Layout::transposed};
  row.refused_shapes = {
      {{{3}}, {{3, 4}}}, {{{3, 4}}, {{4}}}, {{{3, 4}}, {{3, 4}}}, {{{2, 3, 4}}, {{3, 4, 5}}}};
  row.refused = {
      {"two dtypes",
       [] {
         matmul(zeros({2, 2}), zeros({2, 2}, Dtype::float64));
       }},
      {"a product of float32 as bfloat16",
       [] {
         matmul(zeros({2, 2}), zeros({2, 2}), {}, Dtype::bfloat16);
       }},
      {"a bias of another extent",
       [] {
         matmul(zeros({2, 3}), zeros({3, 4}), {.bias = zeros({3})});
       }},
      {"a bias of another dtype",
       [] {
         matmul(zeros({2, 3}), zeros({3, 4}), {.bias = zeros({4}, Dtype::float64)});
       }},
      {"a residual of another shape",
       [] {
         matmul(zeros({2, 3}), zeros({3, 4}), {.residual = zeros({4})});
       }},
      {"a pre_activation of another shape",
       [] {
         matmul(zeros({2, 3}), zeros({3, 4}), {.pre_activation = zeros({2, 3})});
       }},
      {"a pre_activation that is not dense",
       [] {
         matmul(zeros({2, 3}), zeros({3, 4}), {.pre_activation = transpose(zeros({4, 2}))});
       }},
  };
  return row;
}

Row views_row() {
  Row row = product_row("matmul of views");
  row.cases = {{{{7, 33}}, {{33, 17}}},        {{{130, 33}}, {{33, 130}}}, {{{0, 3}}, {{3, 4}}},
               {{{3, 0}}, {{0, 4}}},           {{{3, 4}}, {{4, 0}}},       {{{2, 7, 5}}, {{2, 5, 3}}},
               {{{2, 7, 5}}, {{5, 3}}},        {{{7, 5}}, {{2, 5, 3}}},    {{{3, 1, 7, 5}}, {{2, 5, 3}}},
               {{{2, 3, 17, 33}}, {{33, 16}}}, {{{0, 7, 5}}, {{5, 3}}},    {{{4, 130, 40}}, {{4, 40, 130}}}};
  return row;
}

// More columns and more depth than a product takes at a time, so that it comes in blocks of both.
Row blocks_row() {
  Row row{.name = "matmul in blocks of columns and depth", .function = "matmul", .dtypes = kProduct};
  row.cases = {{{{1, 300}}, {{300, 2100}}, {{2100}}},
               {{{7, 513}}, {{513, 2049}}, {{2049}}},
               {{{13, 600}}, {{600, 4100}}, {{4100}}}};
  row.apply = [](const Tensors& in, Dtype dtype) {
    return Tensors{matmul(in[0], in[1], {.bias = cast(in[2], computed_in(dtype))})};
  };
  row.reference = [](const Arrays& in, Dtype) {
    return Arrays{reference::matmul(in[0], in[1], in[2]).output};
  };
  row.layouts = {Layout::dense, Layout::transposed};
  row.refuses_other_dtypes = false;  // sizes_row refuses them; here cast() would take them
  row.optional_inputs = {2};
  return row;
}

Row empty_sum_row() {
  Row row{.name = "matmul of k = 0 with an options", .function = "matmul", .dtypes = kReal};
  row.cases = {{{{3, 0}}, {{0, 17}}, {{17}}}};
  row.apply = [](const Tensors& in, Dtype) {
    return Tensors{matmul(in[0], in[1], {.bias = in[2], .activation = Activation::relu})};
  };
  row.reference = [](const Arrays& in, Dtype) {
    return Arrays{reference::matmul(in[0], in[1], in[2], Activation::relu).output};
  };
  row.refuses_other_dtypes = false;
  row.optional_inputs = {2};
  return row;
}

Row narrow_row() {
  Row row = product_row("matmul of bfloat16 to bfloat16");
  row.dtypes = {Dtype::bfloat16};
  row.cases = {{{{7, 33}}, {{33, 17}}}, {{{2, 130, 33}}, {{33, 130}}}};
  row.apply = [](const Tensors& in, Dtype) { return Tensors{matmul(in[0], in[1], {}, Dtype::bfloat16)}; };
  row.refuses_other_dtypes = false;
  return row;
}

// Inputs: a, b, bias, residual, of which the last two are used where asked for.
Row epilogue_row(Activation activation, bool bias, bool residual, bool keep) {
  Row row{.name = fmt::format("matmul {}{}{}{}", bias ? "+ bias, " : "", name_of(activation),
                              residual ? " + residual" : "", keep ? ", pre_activation" : ""),
          .function = "matmul",
          .dtypes = kProduct};
  for (const auto& [a, b] : {std::pair<Shape, Shape>{{1, 1}, {1, 1}},
                             {{7, 33}, {33, 17}},
                             {{130, 40}, {40, 130}},
                             {{3, 5, 16}, {16, 33}},
                             {{2, 7, 5}, {2, 5, 3}},
                             {{2, 300}, {300, 63}}}) {
    Shape shape = a;
    shape[shape.rank() - 1] = b.back();
    row.cases.push_back({{a}, {b}, {{b.back()}}, {shape}});
  }
  row.apply = [=](const Tensors& in, Dtype dtype) {
    Shape shape = in[3].shape();
    MatmulOptions options{.activation = activation};
    const Dtype computed = computed_in(dtype);
    if (bias) options.bias = cast(in[2], computed);
    if (residual) options.residual = cast(in[3], computed);
    if (keep) options.pre_activation = Tensor(shape, computed, in[0].device());
    Tensors result = {matmul(in[0], in[1], options)};
    if (keep) result.push_back(options.pre_activation);
    return result;
  };
  row.reference = [=](const Arrays& in, Dtype) {
    const reference::Product product =
        reference::matmul(in[0], in[1], bias ? in[2] : Array(), activation, residual ? in[3] : Array());
    Arrays result = {product.output};
    if (keep) result.push_back(product.pre_activation);
    return result;
  };
  row.layouts = {Layout::dense, Layout::transposed, Layout::stepped};
  // Other dtypes are refused in sizes_row; here cast() would take them.
  row.refuses_other_dtypes = false;
  row.optional_inputs = {2, 3};
  return row;
}

Row matmul_into_row() {
  Row row{.name = "matmul_into", .function = "matmul_into", .dtypes = kProduct};
  for (const auto& [a, b] : {std::pair<Shape, Shape>{{1, 1}, {1, 1}},
                             {{7, 33}, {33, 17}},
                             {{130, 300}, {300, 130}},
                             {{3, 5, 16}, {16, 33}},
                             {{3, 0}, {0, 4}},
                             {{2, 7, 5}, {2, 5, 3}}}) {
    Shape shape = a;
    shape[shape.rank() - 1] = b.back();
    row.cases.push_back({{a}, {b}, {shape}});
  }
  row.apply = [](const Tensors& in, Dtype dtype) {
    const Tensor target = in[2].defined() ? cast(in[2], computed_in(dtype)) : in[2];
    matmul_into(target, in[0], in[1]);
    return Tensors{target};
  };
  row.reference = [](const Arrays& in, Dtype) {
    return Arrays{reference::matmul(in[0], in[1], {}, Activation::none, in[2]).output};
  };
  row.refused_shapes = {
      {{{3, 4}}, {{4, 5}}, {{5, 3}}}, {{{3, 4}}, {{5, 4}}, {{3, 4}}}, {{{3}}, {{3, 4}}, {{4}}}};
  row.refused = {{"a target that is not dense",
                  [] {
                    matmul_into(transpose(zeros({2, 3})), zeros({3, 4}), zeros({4, 2}));
                  }},
                 {"a target of another dtype", [] {
                    matmul_into(zeros({2, 2}, Dtype::float64), zeros({2, 2}), zeros({2, 2}));
                  }}};
  return row;
}

}  // namespace

std::vector<Row> matmul_rows() {
  std::vector<Row> rows = {sizes_row(),     views_row(),  blocks_row(),
                           empty_sum_row(), narrow_row(), matmul_into_row()};
  for (Activation activation :
       {Activation::none, Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu}) {
    for (int set = 0; set < 8; ++set) {
      rows.push_back(epilogue_row(activation, set & 1, set & 2, set & 4));
    }
  }
  return rows;
}

}  // namespace haze::test
