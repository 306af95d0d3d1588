#include "engine/op_table/reference.h"
#include "engine/op_table/table.h"

namespace haze::test {
namespace {

struct WindowCase {
  Shape image;
  reference::Window window;
};

std::vector<WindowCase> window_cases() {
  return {{{1, 1, 1, 1}, {1, 1, 1, 0}},   {{2, 3, 7, 5}, {3, 3, 1, 1}},    {{2, 3, 7, 5}, {3, 2, 2, 0}},
          {{1, 2, 33, 17}, {5, 5, 1, 2}}, {{2, 1, 6, 6}, {2, 2, 2, 0}},    {{1, 1, 2, 2}, {3, 3, 1, 2}},
          {{0, 3, 7, 5}, {3, 3, 1, 1}},   {{2, 16, 32, 31}, {3, 3, 1, 1}}, {{1, 4, 9, 9}, {1, 1, 3, 0}},
          {{1, 2, 5, 5}, {5, 5, 4, 1}}};
}

std::string title(const std::string& function, const WindowCase& c) {
  return fmt::format("{} {} by {}x{} stride {} padding {}", function, c.image.to_string(), c.window.height,
                     c.window.width, c.window.stride, c.window.padding);
}

std::vector<Row> window_rows() {
  std::vector<Row> rows;
  for (const WindowCase& c : window_cases()) {
    const reference::Window window = c.window;
    Row row{.name = title("unfold", c),
            .function = "unfold",
            .dtypes = kAllDtypes,
            .cases = {{{c.image, 0, 200}}}};
    row.apply = [=](const Tensors& in, Dtype) {
      return Tensors{unfold(in[0], window.height, window.width, window.stride, window.padding)};
    };
    row.reference = [=](const Arrays& in, Dtype) { return Arrays{reference::unfold(in[0], window)}; };
    rows.push_back(row);
    const int64_t height = c.image[2], width = c.image[3];
    row = {.name = title("fold", c), .function = "fold", .dtypes = kFloating};
    row.cases = {{{reference::unfold(Array(c.image), c.window).shape}}};
    row.apply = [=](const Tensors& in, Dtype) {
      return Tensors{fold(in[0], height, width, window.height, window.width, window.stride, window.padding)};
    };
    row.reference = [=](const Arrays& in, Dtype) {
      return Arrays{reference::fold(in[0], height, width, window)};
    };
    rows.push_back(row);
  }
  rows[0].refused_shapes = {{{{3, 7, 5}}}, {{{1, 3, 0, 5}}}};
  rows[0].refused = {{"a kernel of no height",
                      [] {
                        unfold(zeros({1, 1, 4, 4}), 0, 2, 1, 0);
                      }},
                     {"a stride of 0",
                      [] {
                        unfold(zeros({1, 1, 4, 4}), 2, 2, 0, 0);
                      }},
                     {"negative padding",
                      [] {
                        unfold(zeros({1, 1, 4, 4}), 2, 2, 1, -1);
                      }},
                     {"a kernel larger than the image", [] {
                        unfold(zeros({1, 1, 4, 4}), 5, 2, 1, 0);
                      }}};
  rows[1].refused_shapes = {{{{2, 3}}}, {{{1, 1, 2}}}};
  rows[1].refused = {{"columns that no kernel makes",
                      [] {
                        fold(zeros({1, 3, 9}), 4, 4, 2, 2, 1, 0);
                      }},
                     {"a negative height",
                      [] {
                        fold(zeros({1, 4, 9}), -1, 4, 2, 2, 1, 0);
                      }},
                     {"a stride of 0", [] {
                        fold(zeros({1, 4, 9}), 4, 4, 2, 2, 0, 0);
                      }}};
  return rows;
}

std::vector<Row> pool_rows(int64_t size) {
  std::vector<Row> rows;
  std::vector<Case> cases, any;
  for (const Shape& windows :
       {Shape{1, 1, 1, 1}, Shape{2, 3, 5, 7}, Shape{0, 3, 2, 2}, Shape{1, 2, 33, 17}, Shape{1, 1, 0, 3}}) {
    cases.push_back({{{windows[0], windows[1], windows[2] * size, windows[3] * size}}});
    any.push_back({{windows, 0, 200}});
  }
  Row row{.name = fmt::format("average_pool {}", size),
          .function = "average_pool",
          .dtypes = kFloating,
          .cases = cases};
  row.apply = [=](const Tensors& in, Dtype) { return Tensors{average_pool(in[0], size)}; };
  row.reference = [=](const Arrays& in, Dtype) { return Arrays{reference::average_pool(in[0], size)}; };
  row.refused_shapes = {{{{4, 4, 4}}}};
  if (size > 1) row.refused_shapes.push_back({{{1, 1, 4 * size + 1, size}}});
  row.refused = {{"a size of 0", [] { average_pool(zeros({1, 1, 4, 4}), 0); }}};
  rows.push_back(row);
  row.name = fmt::format("max_pool {}", size);
  row.function = "max_pool";
  row.cases.push_back({{{1, 1, 4 * size, 6 * size}, 0, 0, {1, 2, 2, 0, 1, std::nan(""), 2}}});
  row.apply = [=](const Tensors& in, Dtype) {
    const auto [values, places] = max_pool(in[0], size);
    return Tensors{values, places};
  };
  row.reference = [=](const Arrays& in, Dtype) {
    const auto result = reference::max_pool(in[0], size);
    return Arrays{result[0], result[1]};
  };
  row.refused = {{"a size of 0", [] { max_pool(zeros({1, 1, 4, 4}), 0); }}};
  rows.push_back(row);
  row = {
      .name = fmt::format("upsample {}", size), .function = "upsample", .dtypes = kAllDtypes, .cases = any};
  row.apply = [=](const Tensors& in, Dtype) { return Tensors{upsample(in[0], size)}; };
  row.reference = [=](const Arrays& in, Dtype) { return Arrays{reference::upsample(in[0], size)}; };
  row.refused_shapes = {{{{4, 4, 4}}}};
  row.refused = {{"a size of 0", [] { upsample(zeros({1, 1, 4, 4}), 0); }}};
  rows.push_back(row);
  return rows;
}

}  // namespace

std::vector<Row> image_rows() {
  std::vector<Row> rows = window_rows();
  for (int64_t size : {1, 2, 3}) {
    for (Row& row : pool_rows(size)) rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace haze::test
