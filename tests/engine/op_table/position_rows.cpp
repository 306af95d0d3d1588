#include "engine/op_table/reference.h"
#include "engine/op_table/table.h"

// Rotary positions and sinusoidal embeddings.
namespace haze::test {
namespace {

// Inputs: x [rows, heads, head_size], cosine and sine [table, head_size / 2], positions [rows].
Case rotary_case(const Shape& shape, int64_t table) {
  const Input entries{{table, shape[2] / 2}};
  return {{shape}, entries, entries, indices({shape[0]}, table)};
}

Array rotary_reference(const Arrays& in, int64_t turned, bool inverse) {
  Array result(in[0].shape);
  const int64_t heads = in[0].shape[1], half = in[0].shape[2] / 2;
  for (int64_t row = 0; row < in[0].shape[0]; ++row) {
    for (int64_t pair = 0; pair < heads * half; ++pair) {
      const auto a = static_cast<size_t>((row * heads + pair / half) * 2 * half + pair % half),
                 b = a + static_cast<size_t>(half);
      const auto entry =
          static_cast<size_t>(in[3].values[static_cast<size_t>(row)]) * static_cast<size_t>(half) +
          static_cast<size_t>(pair % half);
      const bool turns = pair / half < turned;
      const double c = turns ? in[1].values[entry] : 1;
      const double s = turns ? in[2].values[entry] * (inverse ? -1 : 1) : 0;
      const double x = in[0].values[a], y = in[0].values[b];
      result.values[a] = x * c - y * s;
      result.values[b] = y * c + x * s;
      // Two products and a sum; a head that is copied is exact.
      if (turns) result.error[a] = 2 * (std::abs(x * c) + std::abs(y * s));
      if (turns) result.error[b] = 2 * (std::abs(y * c) + std::abs(x * s));
    }
  }
  return result;
}

Row rotary_row(bool inverse, bool all_heads) {
  Row row{.name = fmt::format("rotary{}{}", inverse ? " inverse" : "", all_heads ? "" : " of some heads"),
          .function = "rotary",
          .dtypes = kReal};
  for (const Shape& shape : {Shape{0, 2, 4}, Shape{3, 1, 0}, Shape{5, 3, 2}, Shape{4, 2, 30}, Shape{7, 4, 32},
                             Shape{3, 2, 66}, Shape{300, 9, 16}}) {
    row.cases.push_back(rotary_case(shape, 11));
  }
  const auto turned = [=](int64_t heads) { return all_heads ? heads : 2 * heads / 3; };
  row.apply = [=](const Tensors& in, Dtype) {
    return Tensors{rotary(in[0], in[1], in[2], in[3],
                          in[0].defined() && in[0].rank() > 1 ? turned(in[0].size(1)) : 0, inverse)};
  };
  row.reference = [=](const Arrays& in, Dtype) {
    return Arrays{rotary_reference(in, turned(in[0].shape[1]), inverse)};
  };
  const Input four = indices({4}, 3);
  row.refused_shapes = {{{{4, 2, 5}}, {{3, 2}}, {{3, 2}}, four}, {{{4, 8}}, {{3, 4}}, {{3, 4}}, four},
                        {{{4, 2, 6}}, {{3, 3}}, {{2, 3}}, four}, {{{4, 2, 6}}, {{3, 6}}, {{3, 6}}, four},
                        {{{4, 2, 6}}, {{3}}, {{3}}, four},       {{{3, 2, 6}}, {{3, 3}}, {{3, 3}}, four}};
  for (const double position : {-1.0, 11.0}) {
    Case inputs = rotary_case({4, 3, 8}, 11);
    inputs.back().values = {0, position};
    row.refused_values.push_back(inputs);
  }
  const Tensor x = zeros({1, 2, 4}), table = zeros({3, 2}), position = zeros({1}, Dtype::int32);
  row.refused.push_back({"more heads than there are", [=] { rotary(x, table, table, position, 3); }});
  row.refused.push_back({"a negative number of heads", [=] { rotary(x, table, table, position, -1); }});
  row.refused.push_back({"a table of another dtype", [=] {
                           rotary(x, table, zeros({3, 2}, Dtype::float64), position, 2);
                         }});
  row.refused.push_back({"positions of float32", [=] { rotary(x, table, table, zeros({1}), 2); }});
  return row;
}

Row sinusoidal_row(int64_t width, double max_period) {
  Row row{.name = fmt::format("sinusoidal_embedding {} {}", width, max_period),
          .function = "sinusoidal_embedding",
          .dtypes = kReal};
  for (const int64_t count : {0, 1, 7, 700}) row.cases.push_back({{{count}, -1100, 1100}});
  row.cases.push_back({Input{.shape = {5}, .values = {3, 3, 4, 3, 3}}});  // equal values side by side
  row.apply = [=](const Tensors& in, Dtype) {
    return Tensors{sinusoidal_embedding(in[0], width, max_period)};
  };
  row.reference = [=](const Arrays& in, Dtype dtype) {
    const int64_t count = in[0].shape[0], half = width / 2;
    Array result({count, width});
    for (int64_t i = 0; i < count * 2 * half; ++i) {
      const int64_t r = i / (2 * half), column = i % (2 * half);
      const double angle =
          in[0].values[static_cast<size_t>(r)] *
          std::pow(max_period, -static_cast<double>(column % half) / static_cast<double>(half));
      const auto at = static_cast<size_t>(r * width + column);
      result.values[at] = column < half ? std::cos(angle) : std::sin(angle);
      // The angle is in float64 for either dtype.
      const double of_angle = reference::kElementary + 2 * std::abs(angle);
      result.error[at] =
          std::abs(result.values[at]) + (dtype == Dtype::float64 ? of_angle : of_angle * 0x1p-28);
    }
    return Arrays{result};
  };
  row.refused_shapes = {{{{2, 3}}}, {{{}}}};
  row.refused = {{"a negative width", [] { sinusoidal_embedding(zeros({2}), -1); }},
                 {"a period of 0", [] { sinusoidal_embedding(zeros({2}), 4, 0); }}};
  return row;
}

}  // namespace

std::vector<Row> position_rows() {
  return {rotary_row(false, true),  rotary_row(true, true),  rotary_row(false, false),
          sinusoidal_row(6, 10000), sinusoidal_row(33, 100), sinusoidal_row(1, 10000)};
}

}  // namespace haze::test
