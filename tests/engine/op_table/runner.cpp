#include <algorithm>
#include <cstring>
#include <limits>

#include <doctest/doctest.h>
#include <fmt/ranges.h>

#include "haze/engine/cpu/parallel.h"

#include "engine/op_table/table.h"
#include "error_of.h"

namespace haze::test {
namespace {

constexpr int kMostFailures = 3;  // reported of one row

// SplitMix64 (Steele et al. 2014): the table's numbers do not depend on the engine's generator.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  double uniform() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
  }

 private:
  uint64_t state_;
};

const char* name_of(Layout layout) {
  switch (layout) {
    case Layout::dense:
      return "dense";
    case Layout::offset:
      return "offset";
    case Layout::transposed:
      return "transposed";
    case Layout::stepped:
      return "stepped";
    case Layout::broadcast:
      return "broadcast";
  }
  return "";
}

// To eight bits, half to even; fewer below the normal range.
double rounded_to_bfloat16(double value) {
  if (!std::isfinite(value)) return value;
  int exponent = 0;
  std::frexp(value, &exponent);
  const int unit = std::max(exponent - 8, -133);
  const double result = std::ldexp(std::nearbyint(std::ldexp(value, -unit)), unit);
  return std::abs(result) >= 0x1p128 ? std::copysign(std::numeric_limits<double>::infinity(), value) : result;
}

double rounded(double value, Dtype dtype) {
  switch (dtype) {
    case Dtype::float64:
      return value;
    case Dtype::float32:
      return static_cast<float>(value);
    case Dtype::bfloat16:
      return rounded_to_bfloat16(value);
    case Dtype::int32:
      return std::isnan(value) ? 0 : std::floor(std::clamp(value, -1e9, 1e9));
    case Dtype::uint8:
      return std::isnan(value) ? 0 : std::floor(std::min(std::abs(value), 255.0));
  }
  return value;
}

Array make_array(const Input& input, Dtype dtype, uint64_t seed) {
  Array result(input.shape);
  Random random(seed);
  for (size_t i = 0; i < result.values.size(); ++i) {
    const double value = input.values.empty() ? input.low + (input.high - input.low) * random.uniform()
                                              : input.values[i % input.values.size()];
    result.values[i] = rounded(value, dtype);
  }
  return result;
}

// What the array is where its first axis is a repetition.
void repeat_first_axis(Array& x) {
  if (x.shape.rank() == 0 || x.values.empty()) return;
  const size_t length = x.values.size() / static_cast<size_t>(x.shape[0]);
  for (size_t i = length; i < x.values.size(); ++i) x.values[i] = x.values[i - length];
}

template <typename T>
T converted(double value) {
  if constexpr (std::is_same_v<T, bfloat16>)
    return bfloat16(static_cast<float>(value));
  else
    return static_cast<T>(value);
}

template <typename T>
T filler() {
  if constexpr (std::is_same_v<T, int32_t>)
    return std::numeric_limits<int32_t>::max();
  else if constexpr (std::is_same_v<T, uint8_t>)
    return 255;
  else
    return converted<T>(std::numeric_limits<double>::quiet_NaN());
}

struct Placement {
  Shape strides;
  int64_t offset = 0, capacity = 0;
};

Placement placement(const Shape& shape, Layout layout) {
  const int rank = shape.rank();
  Placement result{contiguous_strides(shape), 0, shape.elements() + 16};
  int64_t step = 1;
  switch (layout) {
    case Layout::dense:
      break;
    case Layout::offset:
      result.offset = 3;
      break;
    case Layout::transposed:
      for (int axis = 0; axis < rank; ++axis) {
        result.strides[axis] = step;
        step *= shape[axis];
      }
      break;
    case Layout::stepped:
      for (int64_t* stride = &result.strides[0]; stride != &result.strides[0] + rank; ++stride) *stride *= 2;
      result.capacity += shape.elements();
      break;
    case Layout::broadcast:
      if (rank > 0) result.strides[0] = 0;
      break;
  }
  return result;
}

Tensor make_tensor(const Array& array, Layout layout, Dtype dtype, Device device) {
  const Placement place = placement(array.shape, layout);
  const Storage storage = allocate(static_cast<size_t>(place.capacity) * size_of(dtype), device);
  dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    std::vector<T> data(static_cast<size_t>(place.capacity), filler<T>());
    Shape index = reference::index_of(0, array.shape);
    for (size_t i = 0; i < array.values.size(); ++i, reference::advance(index, array.shape)) {
      int64_t at = place.offset;
      for (int axis = 0; axis < index.rank(); ++axis) at += index[axis] * place.strides[axis];
      data[static_cast<size_t>(at)] = converted<T>(array.values[i]);
    }
    runtime(device).copy_from_host(storage.data(), data.data(), data.size() * sizeof(T));
  });
  return Tensor(storage, array.shape, place.strides, place.offset, dtype, device);
}

std::vector<char> bytes_of(const Tensor& x) {
  if (!x.defined()) return {};
  const Tensor dense = contiguous(to(x, Device::cpu));
  const char* first = static_cast<const char*>(dense.raw());
  return {first, first + static_cast<size_t>(dense.elements()) * size_of(dense.dtype())};
}

std::vector<char> storage_bytes(const Tensor& x, const Array& array, Layout layout) {
  std::vector<char> bytes(static_cast<size_t>(placement(array.shape, layout).capacity) * size_of(x.dtype()));
  runtime(x.device()).copy_to_host(bytes.data(), x.storage().data(), bytes.size());
  return bytes;
}

// How far `got` may be from `want`, before it is rounded to bfloat16; see Array.
double allowance(double error, Dtype result, Dtype run) {
  const bool wide = result == Dtype::float64 && run != Dtype::float32 && run != Dtype::bfloat16;
  const double smallest =
      wide ? std::numeric_limits<double>::denorm_min() : std::numeric_limits<float>::denorm_min();
  return error * (wide ? 0x1p-52 : 0x1p-24) + smallest;
}

bool agrees(double got, double want, double error, Dtype result, Dtype run) {
  if (std::isnan(got) || std::isnan(want)) return std::isnan(got) && std::isnan(want);
  if (got == want) return true;
  if (error == 0) return is_floating(result) && got == rounded(want, result);
  const double allowed = allowance(error, result, run);
  if (result == Dtype::bfloat16) {  // rounded once, at the end: rounding keeps the order of numbers
    return rounded(want - allowed, result) <= got && got <= rounded(want + allowed, result);
  }
  if (std::isinf(want)) return false;
  if (std::isinf(got)) {  // where the true value, or its neighbourhood, overflows
    return std::isinf(rounded(std::copysign(std::abs(want) + allowed, want), result)) &&
           std::signbit(got) == std::signbit(want);
  }
  return std::abs(got - want) <= allowed;
}

// What is wrong with a result; empty where nothing is.
std::string difference(const Tensor& got, const Array& want, Dtype run) {
  if (!got.defined()) return "undefined result";
  if (!(got.shape() == want.shape)) {
    return fmt::format("shape {} instead of {}", got.shape().to_string(), want.shape.to_string());
  }
  const std::vector<double> values = got.to_vector<double>();
  for (size_t i = 0; i < values.size(); ++i) {
    if (agrees(values[i], want.values[i], want.error[i], got.dtype(), run)) continue;
    return fmt::format("element {} is {:.17g}, the reference {:.17g}, allowed difference {:.3g}",
                       reference::index_of(static_cast<int64_t>(i), want.shape).to_string(), values[i],
                       want.values[i], want.error[i] == 0 ? 0 : allowance(want.error[i], got.dtype(), run));
  }
  return "";
}

struct Run {
  const Row& row;
  const Case& inputs;
  std::vector<Layout> layouts;  // one an input
  Dtype dtype;
  Device device;

  Dtype dtype_of_input(size_t i) const { return inputs[i].dtype.value_or(dtype); }

  std::string describe() const {
    std::string text = fmt::format("{} {}", row.name, name(dtype));
    for (size_t i = 0; i < inputs.size(); ++i) {
      text += fmt::format(" {} {}", inputs[i].shape.to_string(), name_of(layouts[i]));
    }
    return text;
  }

  Arrays arrays() const {
    Arrays result;
    for (size_t i = 0; i < inputs.size(); ++i) {
      result.push_back(make_array(inputs[i], dtype_of_input(i), 1000 + i));
      if (layouts[i] == Layout::broadcast) repeat_first_axis(result.back());
    }
    return result;
  }

  Tensors tensors(const Arrays& values) const {
    Tensors result;
    for (size_t i = 0; i < inputs.size(); ++i) {
      result.push_back(make_tensor(values[i], layouts[i], dtype_of_input(i), device));
    }
    return result;
  }
};

std::string compare(const Tensors& results, const Arrays& wanted, Dtype run) {
  if (results.size() != wanted.size()) {
    return fmt::format("{} results, the reference has {}", results.size(), wanted.size());
  }
  for (size_t i = 0; i < results.size(); ++i) {
    const std::string wrong = difference(results[i], wanted[i], run);
    if (!wrong.empty()) return fmt::format("result {}: {}", i, wrong);
  }
  return "";
}

// The first thing wrong with a run on one and two threads.
std::string problem(const Run& run, const Arrays& values, const Arrays& wanted) {
  const Tensors inputs = run.tensors(values);
  std::vector<std::vector<char>> before, bits;
  for (size_t i = 0; i < inputs.size(); ++i) {
    before.push_back(storage_bytes(inputs[i], values[i], run.layouts[i]));
  }
  for (int count : {1, 2}) {
    set_threads(count);
    Tensors results;
    try {
      results = run.row.apply(inputs, run.dtype);
      synchronize(run.device);
    } catch (const Error& error) {
      return fmt::format("{} threads: threw \"{}\"", count, error.what());
    }
    const std::string wrong = compare(results, wanted, run.dtype);
    if (!wrong.empty()) return fmt::format("{} threads: {}", count, wrong);
    std::vector<std::vector<char>> now;
    for (const Tensor& result : results) now.push_back(bytes_of(result));
    if (count == 1) bits = now;
    if (bits != now) return "1 and 2 threads give different bits";
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (storage_bytes(inputs[i], values[i], run.layouts[i]) != before[i]) {
      return fmt::format("input {} was written to", i);
    }
  }
  return "";
}

// All inputs in one layout; then, where that takes no time, each in the layout after its neighbour's.
std::vector<std::vector<Layout>> layouts_of(const Row& row, const Case& of) {
  constexpr int64_t kLarge = 20000;  // elements
  std::vector<std::vector<Layout>> result;
  int64_t elements = 0;
  for (const Input& input : of) elements += input.shape.elements();
  const size_t inputs = of.size();
  const size_t count = row.layouts.size();
  for (size_t first = 0; first < count; ++first) result.emplace_back(inputs, row.layouts[first]);
  if (inputs < 2 || count < 2 || elements > kLarge) return result;
  for (size_t first = 0; first < count; ++first) {
    result.emplace_back();
    for (size_t i = 0; i < inputs; ++i) result.back().push_back(row.layouts[(first + i) % count]);
  }
  return result;
}

void check_sentence(const Row& row, const std::string& what, const std::string& sentence) {
  INFO(row.name, ", ", what, ": \"", sentence, "\"");
  CHECK(sentence.starts_with(row.function + ":"));
}

int64_t elements(const Case& inputs) {
  int64_t total = 0;
  for (const Input& input : inputs) total += input.shape.elements();
  return total;
}

}  // namespace

std::vector<Shape> common_shapes() {
  return {{},   {0},  {1},       {3},    {15},     {16},      {17},       {31},    {32},
          {33}, {63}, {3, 0, 5}, {7, 5}, {17, 33}, {2, 3, 5}, {3, 1, 63}, {70001}, {3, 23333}};
}

Row shortened(Row row) {
  constexpr int64_t kFew = 3000;
  std::stable_sort(row.cases.begin(), row.cases.end(),
                   [](const Case& a, const Case& b) { return elements(a) < elements(b); });
  while (row.cases.size() > 1 && elements(row.cases.back()) > kFew) row.cases.pop_back();
  row.layouts.resize(1);
  return row;
}

bool has_kernels(const Row& row, Device device) {
  const Case& inputs = row.cases.back();
  const Run run{row, inputs, std::vector<Layout>(inputs.size(), Layout::dense), row.dtypes.front(), device};
  const Tensors tensors = run.tensors(run.arrays());
  const std::string sentence = testing::error_of([&] {
    row.apply(tensors, run.dtype);
    synchronize(device);
  });
  return sentence.find("there is no kernel for") == std::string::npos;
}

void check_row(const Row& row, Device device) {
  CHECK_MESSAGE(!row.cases.empty(), row.name);
  const int threads_before = threads();
  int failures = 0;
  for (Dtype dtype : row.dtypes) {
    for (const Case& inputs : row.cases) {
      Arrays previous_values, wanted;
      for (const std::vector<Layout>& layouts : layouts_of(row, inputs)) {
        const Run run{row, inputs, layouts, dtype, device};
        const Arrays values = run.arrays();
        bool same = !wanted.empty();
        for (size_t i = 0; same && i < values.size(); ++i) {
          // Not ==, for which a NaN differs from itself.
          same = values[i].values.empty() ||
                 std::memcmp(values[i].values.data(), previous_values[i].values.data(),
                             values[i].values.size() * sizeof(double)) == 0;
        }
        if (!same) wanted = row.reference(values, dtype);
        previous_values = values;
        const std::string wrong = problem(run, values, wanted);
        CHECK_MESSAGE(wrong.empty(), run.describe(), ": ", wrong);
        if (!wrong.empty() && ++failures == kMostFailures) break;
      }
      if (failures == kMostFailures) break;
    }
    if (failures == kMostFailures) break;
  }
  set_threads(threads_before);
}

void check_refusals(const Row& row, Device device) {
  const auto dense = [&](const Case& inputs, Dtype dtype) {
    const Run run{row, inputs, std::vector<Layout>(inputs.size(), Layout::dense), dtype, device};
    return run.tensors(run.arrays());
  };
  for (const Case& inputs : row.refused_shapes) {
    const Dtype dtype = row.dtypes.front();
    std::string what = "shapes";
    for (const Input& input : inputs) what += fmt::format(" {}", input.shape.to_string());
    const Tensors tensors = dense(inputs, dtype);
    check_sentence(row, what, testing::error_of([&] {
                     row.apply(tensors, dtype);
                     synchronize(device);
                   }));
  }
  for (const Case& inputs : row.refused_values) {
    const Dtype dtype = row.dtypes.front();
    const Tensors tensors = dense(inputs, dtype);
    const std::string at_once = testing::error_of([&] { row.apply(tensors, dtype); });
    const std::string later = testing::error_of([&] { synchronize(device); });
    const bool eager = device == Device::cpu;
    check_sentence(row, "values", eager ? at_once : later);
    CHECK_MESSAGE((eager ? later : at_once).empty(), row.name);
  }
  for (const Refusal& refusal : row.refused)
    check_sentence(row, refusal.what, testing::error_of(refusal.call));
  const Case& inputs = row.cases.back();
  for (Dtype dtype : kAllDtypes) {
    const bool taken = std::find(row.dtypes.begin(), row.dtypes.end(), dtype) != row.dtypes.end();
    if (taken || !row.refuses_other_dtypes) continue;
    const Tensors tensors = dense(inputs, dtype);
    check_sentence(row, fmt::format("{} inputs", name(dtype)), testing::error_of([&] {
                     row.apply(tensors, dtype);
                     synchronize(device);
                   }));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto& optional = row.optional_inputs;
    if (std::find(optional.begin(), optional.end(), i) != optional.end()) continue;
    Tensors tensors = dense(inputs, row.dtypes.front());
    tensors[i] = Tensor();
    check_sentence(row, fmt::format("input {} undefined", i), testing::error_of([&] {
                     row.apply(tensors, row.dtypes.front());
                     synchronize(device);
                   }));
  }
}

}  // namespace haze::test
