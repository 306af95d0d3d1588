#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/generator.h"
#include "haze/engine/ops.h"

#include "engine/ladder/rungs.h"
#include "error_of.h"

using namespace haze;
using namespace haze::test;

// The operation table runs small cases. These are larger than what a block of a kernel takes at a time, and
// are held to the cpu's bits.
namespace {

// Calls f(device, checked) for each GPU, and for the emulated one with its checked kernels, too.
template <typename F>
void each_kind(F&& f) {
  for (Device device : gpus()) f(device, false);
  const CheckedRungs checked;
  f(Device::simt, true);
}

const std::vector<Dtype> kOrdered = {Dtype::float32, Dtype::float64, Dtype::bfloat16, Dtype::int32};

// Small whole numbers, so that many are equal; some NaN where the dtype has it.
Tensor with_equals(const Shape& shape, Dtype dtype, uint64_t seed) {
  Generator generator(seed);
  Tensor x = cast(cast(uniform(shape, generator, -20, 20), Dtype::int32), dtype);
  if (dtype == Dtype::int32) return x;
  const Tensor broken = compare(CompareOp::less, uniform(shape, generator), full({}, 0.05));
  return where(broken, full({}, std::numeric_limits<double>::quiet_NaN(), dtype), x);
}

Tensor random_indices(int64_t count, int64_t extent, uint64_t seed) {
  Generator generator(seed);
  return cast(uniform({count}, generator, 0, static_cast<double>(extent)), Dtype::int32);
}

// NaN are alike here, whatever their bits.
bool same_values(const Tensor& on_device, const Tensor& wanted) {
  const Tensor got = to(on_device, Device::cpu);
  if (!is_floating(wanted.dtype())) return same_bits(got, wanted);
  const auto as_number = [](const Tensor& x) {
    return where(compare(CompareOp::equal, x, x), x, full({}, 1e9, x.dtype()));
  };
  return same_bits(as_number(got), as_number(wanted));
}

}  // namespace

TEST_CASE("sort and top_k on a GPU merge the runs of a row in the cpu's order") {
  each_kind([](Device device, bool checked) {
    for (Dtype dtype : kOrdered) {
      for (int64_t columns : {1024, 1025, 2500}) {
        if (checked && (columns != 1025 || dtype != Dtype::float32)) continue;
        const Tensor x = with_equals({1, columns}, dtype, static_cast<uint64_t>(columns));
        const auto compare_pairs = [&](auto operation) {
          const auto [values, order] = operation(to(x, device));
          const auto [wanted_values, wanted_order] = operation(x);
          CHECK(same_values(values, wanted_values));
          CHECK(same_values(order, wanted_order));
        };
        INFO(name(dtype), " ", columns, " columns");
        for (bool descending : {false, true}) {
          compare_pairs([&](const Tensor& t) { return sort(t, descending); });
        }
        for (int64_t k : {7, 1020}) {
          compare_pairs([&](const Tensor& t) { return top_k(t, k); });
        }
      }
    }
  });
}

TEST_CASE("sums by index on a GPU have the cpu's bits, however often an index repeats") {
  each_kind([](Device device, bool checked) {
    for (int64_t extent : {3, 100}) {
      Generator generator(5);
      const int64_t count = checked ? 300 : 700;
      const Tensor source = uniform({count, 300}, generator, -1, 1),
                   target = uniform({extent, 300}, generator);
      const Tensor indices = random_indices(count, extent, 6);
      const Tensor wanted = clone(target), got = to(target, device);
      index_add_into(wanted, 0, indices, source);
      index_add_into(got, 0, to(indices, device), to(source, device));
      CHECK(same_values(got, wanted));

      const Tensor index = reshape(slice(indices, 0, 0, extent), {1, extent});
      const Tensor row = slice(source, 0, 0, 1), terms = slice(source, 0, 1, 2);
      CHECK(same_values(
          scatter_add(to(row, device), 1, to(index, device), to(slice(terms, 1, 0, extent), device)),
          scatter_add(row, 1, index, slice(terms, 1, 0, extent))));
    }
  });
}

TEST_CASE("argmax on a GPU finds the first of the largest among a block's candidates") {
  each_kind([](Device device, bool) {
    for (const Shape& shape : {Shape{3, 1000}, Shape{100, 3}}) {
      for (int axis : {0, 1}) {
        const Tensor some_nan = with_equals(shape, Dtype::float32, 9);
        const Tensor no_nan = cast(with_equals(shape, Dtype::int32, 9), Dtype::float32);
        CHECK(same_values(argmax(to(some_nan, device), axis), argmax(some_nan, axis)));
        CHECK(same_values(argmax(to(no_nan, device), axis), argmax(no_nan, axis)));
      }
    }
  });
}

TEST_CASE("a running sum on a GPU goes on from one block of columns to the next") {
  each_kind([](Device device, bool) {
    for (Dtype dtype : kOrdered) {
      const Tensor whole = cast(with_equals({2, 1300}, Dtype::int32, 3), dtype);  // sums without rounding
      CHECK(same_values(cumulative_sum(to(whole, device)), cumulative_sum(whole)));
    }
  });
}

TEST_CASE("a GPU refuses indices outside their axis, also where rows have no elements") {
  each_kind([](Device device, bool) {
    for (int64_t width : {0, 1, 300}) {
      const Tensor weight = zeros({4, width}, Dtype::float32, device);
      const Tensor g = zeros({2, width}, Dtype::float32, device);
      for (int32_t index : {-1, 4}) {
        const Tensor ids = Tensor::from<int32_t>({3, index}, {2}, device);
        const std::string sentence = fmt::format(": index {} is outside an axis of extent 4", index);
        embedding(weight, ids);
        CHECK(testing::error_of([&] { synchronize(device); }) == "embedding" + sentence);
        embedding_gradient(g, ids, 4);
        CHECK(testing::error_of([&] { synchronize(device); }) == "embedding_gradient" + sentence);
      }
    }
  });
}
