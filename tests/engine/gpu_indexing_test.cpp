#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/generator.h"
#include "haze/engine/ops.h"
#include "haze/engine/simt/launch.h"

#include "engine/thread_bits.h"
#include "error_of.h"

using namespace haze;
using namespace haze::test;

// The operation table runs small cases on the emulated GPU. These are larger than what a block of a kernel
// takes at a time, and are held to the cpu's bits.
namespace {

/// While it lives, calls on the emulated GPU run the kernels of one kind.
struct Kernels {
  explicit Kernels(bool checked) { simt::set_checked(checked); }
  ~Kernels() { simt::set_checked(false); }
};

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

Tensor on_gpu(const Tensor& x) {
  return to(x, Device::simt);
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

TEST_CASE("sort and top_k on the emulated GPU merge the runs of a row in the cpu's order") {
  for (bool checked : {false, true}) {
    const Kernels kernels(checked);
    for (Dtype dtype : kOrdered) {
      for (int64_t columns : {1024, 1025, 2500}) {
        if (checked && (columns != 1025 || dtype != Dtype::float32)) continue;
        const Tensor x = with_equals({1, columns}, dtype, static_cast<uint64_t>(columns));
        const auto compare_pairs = [&](auto operation) {
          const auto [values, order] = operation(on_gpu(x));
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
  }
}

TEST_CASE("sums by index on the emulated GPU have the cpu's bits, however often an index repeats") {
  for (bool checked : {false, true}) {
    const Kernels kernels(checked);
    for (int64_t extent : {3, 100}) {
      Generator generator(5);
      const int64_t count = checked ? 300 : 700;
      const Tensor source = uniform({count, 300}, generator, -1, 1),
                   target = uniform({extent, 300}, generator);
      const Tensor indices = random_indices(count, extent, 6);
      const Tensor wanted = clone(target), got = on_gpu(target);
      index_add_into(wanted, 0, indices, source);
      index_add_into(got, 0, on_gpu(indices), on_gpu(source));
      CHECK(same_values(got, wanted));

      const Tensor index = reshape(slice(indices, 0, 0, extent), {1, extent});
      const Tensor row = slice(source, 0, 0, 1), terms = slice(source, 0, 1, 2);
      CHECK(same_values(scatter_add(on_gpu(row), 1, on_gpu(index), on_gpu(slice(terms, 1, 0, extent))),
                        scatter_add(row, 1, index, slice(terms, 1, 0, extent))));
    }
  }
}

TEST_CASE("argmax on the emulated GPU finds the first of the largest among a block's candidates") {
  for (bool checked : {false, true}) {
    const Kernels kernels(checked);
    for (const Shape& shape : {Shape{3, 1000}, Shape{100, 3}}) {
      for (int axis : {0, 1}) {
        const Tensor some_nan = with_equals(shape, Dtype::float32, 9);
        const Tensor no_nan = cast(with_equals(shape, Dtype::int32, 9), Dtype::float32);
        CHECK(same_values(argmax(on_gpu(some_nan), axis), argmax(some_nan, axis)));
        CHECK(same_values(argmax(on_gpu(no_nan), axis), argmax(no_nan, axis)));
      }
    }
  }
}

TEST_CASE("a running sum on the emulated GPU goes on from one block of columns to the next") {
  for (bool checked : {false, true}) {
    const Kernels kernels(checked);
    for (Dtype dtype : kOrdered) {
      const Tensor whole = cast(with_equals({2, 1300}, Dtype::int32, 3), dtype);  // sums without rounding
      CHECK(same_values(cumulative_sum(on_gpu(whole)), cumulative_sum(whole)));
    }
  }
}

TEST_CASE("the emulated GPU refuses indices outside their axis, also where rows have no elements") {
  for (bool checked : {false, true}) {
    const Kernels kernels(checked);
    for (int64_t width : {0, 1, 300}) {
      const Tensor weight = zeros({4, width}, Dtype::float32, Device::simt);
      const Tensor g = zeros({2, width}, Dtype::float32, Device::simt);
      for (int32_t index : {-1, 4}) {
        const Tensor ids = Tensor::from<int32_t>({3, index}, {2}, Device::simt);
        const std::string sentence = fmt::format(": index {} is outside an axis of extent 4", index);
        embedding(weight, ids);
        CHECK(testing::error_of([] { synchronize(Device::simt); }) == "embedding" + sentence);
        embedding_gradient(g, ids, 4);
        CHECK(testing::error_of([] { synchronize(Device::simt); }) == "embedding_gradient" + sentence);
      }
    }
  }
}
