#include <limits>

#include "engine/op_table/reference.h"
#include "engine/op_table/table.h"

// Creation and random numbers, views, copies.
namespace haze::test {
namespace {

constexpr RandomPosition kPosition{0x123456789abcdefu, 7, (uint64_t{1} << 32) - 1};

// An input that gives an operation without inputs its shape.
std::vector<Case> shapes_only() {
  std::vector<Case> cases;
  for (const Shape& shape : common_shapes()) cases.push_back({{shape}});
  return cases;
}

Row shaped(const std::string& name, const std::vector<Dtype>& dtypes,
           std::function<Tensor(const Shape&, Dtype, Device)> apply,
           std::function<Array(const Shape&, Dtype)> wanted) {
  Row row{.name = name, .function = name, .dtypes = dtypes, .cases = shapes_only()};
  row.apply = [apply](const Tensors& in, Dtype dtype) {
    return Tensors{apply(in[0].shape(), dtype, in[0].device())};
  };
  row.reference = [wanted](const Arrays& in, Dtype dtype) { return Arrays{wanted(in[0].shape, dtype)}; };
  row.layouts = {Layout::dense};
  row.optional_inputs = {0};
  return row;
}

Generator generator_at(RandomPosition position) {
  return Generator(Generator::State{position.seed, position.stream, position.counter});
}

// counter += 2^32 + 5, for counters whose lower word does and does not carry.
Row advance_counter_row() {
  Row row{.name = "advance_counter", .function = "advance_counter", .dtypes = {Dtype::int32}};
  row.cases = {{{{2}, 0, 0, {3, 4}}}, {{{2}, 0, 0, {-5, 4}}}, {{{2}, 0, 0, {-1, -1}}}};
  row.apply = [](const Tensors& in, Dtype) {
    const Tensor counter = copy_of(in[0]);
    advance_counter(counter, (uint64_t{1} << 32) + 5);
    return Tensors{counter};
  };
  row.reference = [](const Arrays& in, Dtype) {
    const auto lower = static_cast<int64_t>(in[0].values[0]), upper = static_cast<int64_t>(in[0].values[1]);
    const bool carries = lower < 0 && lower + 5 >= 0;  // words above 2^31 are negative numbers
    Array result({2});
    result.values = {static_cast<double>(lower + 5), static_cast<double>(upper + 1 + carries)};
    return Arrays{result};
  };
  row.refused_shapes = {{{{3}, 0, 9}}, {{{2, 1}, 0, 9}}};
  row.refused = {{"a counter that is not dense",
                  [] { advance_counter(slice(zeros({4}, Dtype::int32), 0, 0, 4, 2), 1); }}};
  return row;
}

Row random_base_row() {
  Row row{.name = "random_base", .function = "random_base", .dtypes = {Dtype::int32}};
  row.cases = {{{{2}, 0, 0, {3, 4}}}};
  row.apply = [](const Tensors& in, Dtype) {
    const Storage base = random_base(copy_of(in[0]));
    return Tensors{Tensor(base, {2}, {1}, 0, Dtype::int32, base.device())};
  };
  row.reference = [](const Arrays& in, Dtype) { return in; };
  row.refused_shapes = {{{{3}, 0, 9}}, {{{2, 1}, 0, 9}}};
  row.refused = {
      {"a counter that is not dense", [] { random_base(slice(zeros({4}, Dtype::int32), 0, 0, 4, 2)); }},
      {"a counter within its storage", [] { random_base(slice(zeros({4}, Dtype::int32), 0, 2, 4)); }}};
  return row;
}

// An operation of one tensor of any dtype, whose elements it does not change.
Row moved(const std::string& name, const std::string& function, const std::vector<Shape>& shapes,
          std::function<Tensor(const Tensor&)> apply, std::function<Array(const Array&)> wanted) {
  Row row{.name = name, .function = function, .dtypes = kAllDtypes};
  for (const Shape& shape : shapes) row.cases.push_back({{shape, 0, 200}});
  row.apply = [apply](const Tensors& in, Dtype) { return Tensors{apply(in[0])}; };
  row.reference = [wanted](const Arrays& in, Dtype) { return Arrays{wanted(in[0])}; };
  return row;
}

Array reshaped(const Array& x, const Shape& shape) {
  Array result = x;
  result.shape = shape;
  return result;
}

// target = source into every second element of a larger tensor, which is the result.
Row copy_into_row() {
  Row row{.name = "copy_into", .function = "copy_into", .dtypes = kAllDtypes};
  for (const Shape& shape : {Shape{0}, Shape{1}, Shape{33}, Shape{3, 17}, Shape{2, 3, 5}, Shape{3, 30001}}) {
    row.cases.push_back({{shape, 0, 200}});
  }
  const auto wide_shape = [](Shape shape) {
    shape[shape.rank() - 1] *= 2;
    return shape;
  };
  row.apply = [wide_shape](const Tensors& in, Dtype dtype) {
    Tensor whole = zeros(wide_shape(in[0].shape()), dtype, in[0].device());
    copy_into(slice(whole, -1, 0, whole.size(-1), 2), in[0]);
    return Tensors{whole};
  };
  row.reference = [wide_shape](const Arrays& in, Dtype) {
    Array result(wide_shape(in[0].shape));
    for (size_t i = 0; i < in[0].values.size(); ++i) result.values[2 * i] = in[0].values[i];
    return Arrays{result};
  };
  row.refused = {
      {"a source that does not broadcast",
       [] {
         copy_into(zeros({2, 3}), zeros({2}));
       }},
      {"a source larger than the target",
       [] {
         copy_into(zeros({3}), zeros({2, 3}));
       }},
      {"an undefined target", [] { copy_into(Tensor(), zeros({2})); }},
  };
  // zeros() of an undefined shape has no last axis.
  row.optional_inputs = {0};
  return row;
}

Row copy_into_broadcast_row() {
  Row row{.name = "copy_into broadcast, converted", .function = "copy_into", .dtypes = kAllDtypes};
  row.cases = {{{{5}, 0, 200}}, {{{3, 1}, 0, 200}}, {{{}, 0, 200}}, {{{1, 1, 1}, 0, 200}}};
  row.apply = [](const Tensors& in, Dtype) {
    Tensor target({2, 3, 5}, Dtype::float64, in[0].device());
    copy_into(target, in[0]);
    return Tensors{target};
  };
  row.reference = [](const Arrays& in, Dtype) { return Arrays{reference::expand(in[0], {2, 3, 5})}; };
  return row;
}

Row fill_row() {
  Row row{.name = "fill", .function = "fill", .dtypes = kAllDtypes, .cases = shapes_only()};
  row.apply = [](const Tensors& in, Dtype dtype) {
    Tensor target(in[0].shape(), dtype, in[0].device());
    fill(target, 3);
    return Tensors{target};
  };
  row.reference = [](const Arrays& in, Dtype) { return Arrays{Array(in[0].shape, 3)}; };
  row.layouts = {Layout::dense};
  row.optional_inputs = {0};
  row.refused = {{"an undefined target", [] { fill(Tensor(), 1); }}};
  return row;
}

Row cast_row(Dtype to) {
  Row row{.name = fmt::format("cast to {}", name(to)), .function = "cast", .dtypes = kAllDtypes};
  const double low = to == Dtype::uint8 ? 0 : -100;
  for (const Shape& shape : common_shapes()) row.cases.push_back({{shape, low, 200}});
  row.apply = [to](const Tensors& in, Dtype) { return Tensors{cast(in[0], to)}; };
  row.reference = [to](const Arrays& in, Dtype) {
    return Arrays{reference::map(in[0], [to](double x) {
      return reference::Number{is_floating(to) ? x : std::trunc(x), 0};
    })};
  };
  return row;
}

Row cast_special_row(Dtype to) {
  Row row{
      .name = fmt::format("cast to {} of special numbers", name(to)), .function = "cast", .dtypes = kReal};
  const double nan = std::nan(""), infinity = HUGE_VAL;
  // 1 + 2^-8 and 1 + 3 2^-8 lie between two bfloat16: they go to the even one.
  row.cases = {
      {{{19}, 0, 0, {nan, infinity, -infinity, 0.0, -0.0, 1 + 0x1p-8, 1 + 0x1.8p-7, 0x1p-140, 1e30}}}};
  row.apply = [to](const Tensors& in, Dtype) { return Tensors{cast(in[0], to)}; };
  row.reference = [](const Arrays& in, Dtype) { return in; };
  row.refuses_other_dtypes = false;
  return row;
}

// Draws of the shape of their one argument, which is uniform in [low, high).
Row drawn(const std::string& name, double low, double high, Tensor (*draw)(const Tensor&, Generator&),
          Array (*reference)(const Array&, RandomPosition)) {
  Row row{.name = fmt::format("{} {} to {}", name, low, high), .function = name, .dtypes = kFloating};
  for (const Shape& shape : common_shapes()) row.cases.push_back({{shape, low, high}});
  row.apply = [draw](const Tensors& in, Dtype) {
    Generator generator = generator_at(kPosition);
    return Tensors{draw(in[0], generator)};
  };
  row.reference = [reference](const Arrays& in, Dtype) { return Arrays{reference(in[0], kPosition)}; };
  for (double outside : {-0.5, 1.1e9, std::nan(""), HUGE_VAL})
    row.refused_values.push_back({{{3}, 0, 0, {outside}}});
  return row;
}

Row pad_row(int axis, int64_t before, int64_t after) {
  Row row = moved(
      fmt::format("pad axis {} by {} and {}", axis, before, after), "pad",
      {{2, 3}, {17, 33}, {2, 3, 5}, {3, 0, 5}, {1, 1}, {300, 257}},
      [=](const Tensor& x) { return pad(x, axis, before, after, 7); },
      [=](const Array& x) {
        const int a = axis < 0 ? axis + x.shape.rank() : axis;
        Shape shape = x.shape;
        shape[a] += before + after;
        Array result(shape, 7);
        for (size_t i = 0; i < x.values.size(); ++i) {
          Shape to = reference::index_of(static_cast<int64_t>(i), x.shape);
          to[a] += before;
          result.values[reference::number_of(to, shape)] = x.values[i];
        }
        return result;
      });
  row.refused = {{"a negative number of elements", [] { pad(zeros({2}), 0, -1, 3); }},
                 {"more than can be counted", [] { pad(zeros({2}), 0, int64_t{1} << 62, int64_t{1} << 62); }},
                 {"an axis outside", [] { pad(zeros({2}), 1, 1, 1); }}};
  return row;
}

Row concat_row(int axis, const std::vector<Shape>& shapes, const Shape& whole) {
  Row row{.name = fmt::format("concat axis {}", axis), .function = "concat", .dtypes = kAllDtypes};
  row.cases.emplace_back();
  for (const Shape& shape : shapes) row.cases.back().push_back({shape, 0, 200});
  row.apply = [axis](const Tensors& in, Dtype) { return Tensors{concat(in, axis)}; };
  row.reference = [axis, whole](const Arrays& in, Dtype) {
    const int a = axis < 0 ? axis + whole.rank() : axis;
    Array result(whole);
    int64_t first = 0;
    for (const Array& part : in) {
      for (size_t i = 0; i < part.values.size(); ++i) {
        Shape to = reference::index_of(static_cast<int64_t>(i), part.shape);
        to[a] += first;
        result.values[reference::number_of(to, whole)] = part.values[i];
      }
      first += part.shape[a];
    }
    return Arrays{result};
  };
  const std::vector<Tensor> none, mixed = {zeros({2}), zeros({2}, Dtype::float64)};
  row.refused = {
      {"no tensors", [none] { concat(none, 0); }},
      {"two dtypes", [mixed] { concat(mixed, 0); }},
      {"an axis outside", [] { concat(std::vector{zeros({2})}, 1); }},
      {"other extents that differ",
       [] {
         concat(std::vector{zeros({2, 3}), zeros({2, 4})}, 0);
       }},
      {"ranks that differ",
       [] {
         concat(std::vector{zeros({2, 3}), zeros({2})}, 0);
       }},
  };
  return row;
}

}  // namespace

std::vector<Row> creation_rows() {
  std::vector<Row> rows;
  rows.push_back(shaped(
      "full", kAllDtypes, [](const Shape& s, Dtype d, Device device) { return full(s, 3, d, device); },
      [](const Shape& s, Dtype) { return Array(s, 3); }));
  rows.push_back(shaped(
      "zeros", kAllDtypes, [](const Shape& s, Dtype d, Device device) { return zeros(s, d, device); },
      [](const Shape& s, Dtype) { return Array(s, 0); }));
  rows.push_back(shaped(
      "ones", kAllDtypes, [](const Shape& s, Dtype d, Device device) { return ones(s, d, device); },
      [](const Shape& s, Dtype) { return Array(s, 1); }));
  rows.push_back(shaped(
      "arange", {Dtype::float32, Dtype::float64, Dtype::int32},
      [](const Shape& s, Dtype d, Device device) { return arange(s.elements(), d, device); },
      [](const Shape& s, Dtype) {
        Array result({s.elements()});
        for (size_t i = 0; i < result.values.size(); ++i) result.values[i] = static_cast<double>(i);
        return result;
      }));
  rows.back().refuses_other_dtypes = false;
  rows.back().refused = {{"a negative count", [] { arange(-1); }}};
  const auto like = [&](const std::string& name, Tensor (*apply)(const Tensor&), double value) {
    rows.push_back(
        moved(name, name, common_shapes(), apply, [value](const Array& x) { return Array(x.shape, value); }));
  };
  like("zeros_like", zeros_like, 0);
  like("ones_like", ones_like, 1);
  rows.push_back(moved(
      "full_like", "full_like", common_shapes(), [](const Tensor& x) { return full_like(x, 3); },
      [](const Array& x) { return Array(x.shape, 3); }));
  rows.push_back(shaped(
      "random_counter", {Dtype::int32},
      [](const Shape&, Dtype, Device device) { return random_counter((uint64_t{7} << 32) - 1, device); },
      [](const Shape&, Dtype) {
        Array result({2});
        result.values = {-1, 6};
        return result;
      }));
  rows.back().cases.resize(1);
  rows.back().refuses_other_dtypes = false;
  rows.push_back(advance_counter_row());
  rows.push_back(random_base_row());
  const auto wide = [](Dtype dtype) { return dtype == Dtype::float64; };
  rows.push_back(shaped(
      "uniform", kReal,
      [](const Shape& s, Dtype d, Device device) {
        Generator generator = generator_at(kPosition);
        return uniform(s, generator, -1.5, 2.5, d, device);
      },
      [wide](const Shape& s, Dtype d) { return reference::uniform(s, kPosition, -1.5, 2.5, wide(d)); }));
  rows.push_back(shaped(
      "normal", kReal,
      [](const Shape& s, Dtype d, Device device) {
        Generator generator = generator_at(kPosition);
        return normal(s, generator, 0.25, 1.5, d, device);
      },
      [wide](const Shape& s, Dtype d) { return reference::normal(s, kPosition, 0.25, 1.5, wide(d)); }));
  const int64_t least = std::numeric_limits<int32_t>::min(), end = -least;
  struct Range {
    int64_t low, high;
  };
  for (const Range& range : {Range{-3, 4}, {7, 8}, {least, end}, {0, end}}) {
    rows.push_back(shaped(
        "random_integers", {Dtype::int32},
        [=](const Shape& s, Dtype, Device device) {
          Generator generator = generator_at(kPosition);
          return random_integers(s, generator, range.low, range.high, device);
        },
        [=](const Shape& s, Dtype) {
          return reference::random_integers(s, kPosition, range.low, range.high);
        }));
    rows.back().refuses_other_dtypes = false;
  }
  for (const Range& range : {Range{4, 4}, {5, 4}, {0, end + 1}, {least - 1, 0}}) {
    rows.back().refused.push_back({fmt::format("from {} to {}", range.low, range.high), [=] {
                                     Generator generator(1);
                                     random_integers({2}, generator, range.low, range.high);
                                   }});
  }
  rows.push_back(drawn("bernoulli", 0, 1, bernoulli, reference::bernoulli));
  for (const auto& [low, high] : {std::pair<double, double>{0, 12}, {0, 1e-3}, {10, 1000}, {1e8, 1e9}}) {
    rows.push_back(drawn("poisson", low, high, poisson, reference::poisson));
    rows.back().cases = {{{{0, 3}, low, high}}, {{{17, 33}, low, high}}, {{{5001}, low, high}}};
  }
  return rows;
}

std::vector<Row> view_rows() {
  using reference::permute;
  std::vector<Row> rows;
  const std::vector<Shape> three = {{2, 3, 5}, {17, 1, 4}, {3, 0, 5}, {1, 1, 1}, {6, 63, 33}};
  rows.push_back(moved(
      "reshape", "reshape", {{4, 6}, {24}, {2, 3, 4}, {4, 3, 2, 1}},
      [](const Tensor& x) {
        return reshape(x, {3, -1});
      },
      [](const Array& x) {
        return reshaped(x, {3, 8});
      }));
  rows.back().refused = {
      {"too few elements", [] { reshape(zeros({4}), {3}); }},
      {"no whole extent",
       [] {
         reshape(zeros({4}), {3, -1});
       }},
      {"two unknown extents",
       [] {
         reshape(zeros({4}), {-1, -1});
       }},
      {"a negative extent",
       [] {
         reshape(zeros({4}), {-2, -2});
       }},
  };
  rows.push_back(moved(
      "transpose", "transpose", three, [](const Tensor& x) { return transpose(x, 0, -1); },
      [](const Array& x) {
        return permute(x, {2, 1, 0});
      }));
  rows.back().refused = {{"an axis outside",
                          [] {
                            transpose(zeros({4, 3}), 0, 2);
                          }},
                         {"one axis", [] { transpose(zeros({4})); }}};
  rows.push_back(moved(
      "permute", "permute", three,
      [](const Tensor& x) {
        return haze::permute(x, {2, 0, -2});
      },
      [](const Array& x) {
        return permute(x, {2, 0, 1});
      }));
  rows.back().refused = {{"an axis twice",
                          [] {
                            haze::permute(zeros({4, 3}), {0, 0});
                          }},
                         {"an axis outside",
                          [] {
                            haze::permute(zeros({4, 3}), {0, 2});
                          }},
                         {"too few axes", [] {
                            haze::permute(zeros({4, 3}), {0});
                          }}};
  rows.push_back(moved(
      "slice", "slice", {{5, 7}, {2, 3, 9}, {0, 7}}, [](const Tensor& x) { return slice(x, -1, 1, 6, 2); },
      [](const Array& x) { return reference::slice(x, x.shape.rank() - 1, 1, 6, 2); }));
  rows.back().refused = {{"past the end", [] { slice(zeros({4}), 0, 0, 5); }},
                         {"before the start", [] { slice(zeros({4}), 0, -1, 2); }},
                         {"last before first", [] { slice(zeros({4}), 0, 2, 1); }},
                         {"a step of 0", [] { slice(zeros({4}), 0, 0, 2, 0); }},
                         {"an axis outside", [] { slice(zeros({4}), 1, 0, 2); }}};
  rows.push_back(moved(
      "slice to nothing", "slice", {{5, 7}}, [](const Tensor& x) { return slice(x, 0, 5, 5); },
      [](const Array& x) { return reference::slice(x, 0, 5, 5); }));
  rows.push_back(moved(
      "expand", "expand", {{}, {1}, {17}, {1, 17}, {3, 1}, {1, 3, 1}},
      [](const Tensor& x) {
        return expand(x, {2, 3, 17});
      },
      [](const Array& x) {
        return reference::expand(x, {2, 3, 17});
      }));
  rows.back().refused = {{"an extent that differs",
                          [] {
                            expand(zeros({4, 3}), {4, 4});
                          }},
                         {"fewer axes", [] {
                            expand(zeros({4, 3}), {3});
                          }}};
  rows.push_back(moved(
      "unsqueeze", "unsqueeze", {{}, {3}, {2, 3}}, [](const Tensor& x) { return unsqueeze(x, -1); },
      [](const Array& x) {
        Shape shape = x.shape;
        shape.append(1);
        return reshaped(x, shape);
      }));
  rows.back().refused = {{"an axis outside", [] { unsqueeze(zeros({4}), 2); }}};
  const auto itself = [](const Array& x) { return x; };
  rows.push_back(moved(
      "contiguous", "contiguous", common_shapes(), [](const Tensor& x) { return contiguous(x); }, itself));
  rows.push_back(moved(
      "clone", "clone", common_shapes(), [](const Tensor& x) { return clone(x); }, itself));
  for (Device device : {Device::cpu, Device::guarded}) {
    rows.push_back(moved(
        fmt::format("to {}", name(device)), "to", common_shapes(),
        [device](const Tensor& x) { return to(x, device); }, itself));
  }
  for (Dtype to : kAllDtypes) rows.push_back(cast_row(to));
  for (Dtype to : {Dtype::float32, Dtype::float64, Dtype::bfloat16}) rows.push_back(cast_special_row(to));
  rows.push_back(copy_into_row());
  rows.push_back(copy_into_broadcast_row());
  rows.push_back(fill_row());
  for (int axis : {0, 1, -1}) rows.push_back(pad_row(axis, 2, 3));
  rows.push_back(pad_row(0, 0, 0));
  rows.push_back(concat_row(0, {{3}, {0}, {17}}, {20}));
  rows.push_back(concat_row(-1, {{3, 2}, {3, 5}, {3, 1}}, {3, 8}));
  rows.push_back(concat_row(1, {{2, 3, 4}, {2, 1, 4}}, {2, 4, 4}));
  return rows;
}

}  // namespace haze::test
