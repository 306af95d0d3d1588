#include <limits>

#include <doctest/doctest.h>

#include "haze/engine/generator.h"
#include "haze/engine/ops.h"

#include "engine/thread_bits.h"

using namespace haze;
using namespace haze::test;

namespace {

constexpr Dtype kAllDtypes[] = {Dtype::float32, Dtype::float64, Dtype::bfloat16, Dtype::int32, Dtype::uint8};

Tensor random_indices(const Shape& shape, int64_t extent, Generator& generator) {
  return cast(uniform(shape, generator, 0, static_cast<double>(extent), Dtype::float64), Dtype::int32);
}

// Whole numbers below 100, which every dtype holds exactly.
Tensor random_values(const Shape& shape, Dtype dtype, Generator& generator) {
  return cast(cast(uniform(shape, generator, 0, 100), Dtype::int32), dtype);
}

// The index of element `number` in row-major order.
Shape index_of(int64_t number, const Shape& shape) {
  Shape index = shape;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    index[axis] = number % shape[axis];
    number /= shape[axis];
  }
  return index;
}

int64_t number_of(const Shape& index, const Shape& shape) {
  int64_t number = 0;
  for (int axis = 0; axis < shape.rank(); ++axis) number = number * shape[axis] + index[axis];
  return number;
}

// For each element of a tensor of `shape`, the number in x of the element of which `place` replaces the index
// on axis.
template <typename Place>
std::vector<size_t> numbers(const Shape& shape, const Shape& x, int axis, Place&& place) {
  std::vector<size_t> result;
  for (int64_t i = 0; i < shape.elements(); ++i) {
    Shape index = index_of(i, shape);
    index[axis] = place(i, index[axis]);
    result.push_back(static_cast<size_t>(number_of(index, x)));
  }
  return result;
}

std::vector<size_t> select_numbers(const Shape& x, int axis, const std::vector<int32_t>& indices) {
  Shape shape = x;
  shape[axis] = static_cast<int64_t>(indices.size());
  return numbers(shape, x, axis, [&](int64_t, int64_t at) { return indices[static_cast<size_t>(at)]; });
}

std::vector<size_t> gather_numbers(const Shape& x, int axis, const Tensor& index) {
  const std::vector<int32_t> indices = index.to_vector<int32_t>();
  return numbers(index.shape(), x, axis, [&](int64_t i, int64_t) { return indices[static_cast<size_t>(i)]; });
}

std::vector<double> taken(const Tensor& x, const std::vector<size_t>& from) {
  const std::vector<double> values = x.to_vector<double>();
  std::vector<double> result;
  for (size_t number : from) result.push_back(values[number]);
  return result;
}

// x with the source's elements added at those numbers, one after the other.
std::vector<double> added(const Tensor& x, const std::vector<size_t>& to, const Tensor& source) {
  std::vector<double> result = x.to_vector<double>();
  const std::vector<double> values = source.to_vector<double>();
  for (size_t i = 0; i < to.size(); ++i) result[to[i]] += values[i];
  return result;
}

}  // namespace

TEST_CASE("index_select takes what a loop takes, on every axis and of every dtype") {
  Generator generator(1);
  for (Dtype dtype : kAllDtypes) {
    const Tensor x = random_values({4, 5, 3, 2}, dtype, generator);
    for (const Tensor& view : {x, transpose(x, 0, 2), slice(x, 1, 1, 5, 2)}) {
      for (int axis = 0; axis < 4; ++axis) {
        const Tensor indices = random_indices({7}, view.size(axis), generator);
        const Tensor result = index_select(view, axis, indices);
        CHECK(result.dtype() == dtype);
        CHECK(result.to_vector<double>() ==
              taken(view, select_numbers(view.shape(), axis, indices.to_vector<int32_t>())));
        CHECK(same_bits(result, index_select(view, axis - 4, indices)));
      }
    }
  }
}

TEST_CASE("embedding fetches rows") {
  Generator generator(2);
  const Tensor ids = random_indices({3, 4}, 9, generator);
  for (Dtype dtype : kAllDtypes) {
    const Tensor weight = random_values({9, 5}, dtype, generator);
    const Tensor result = embedding(weight, ids);
    CHECK(result.shape() == Shape{3, 4, 5});
    CHECK(result.to_vector<double>() == taken(weight, select_numbers({9, 5}, 0, ids.to_vector<int32_t>())));
    CHECK(same_bits(embedding(weight, transpose(ids)), embedding(weight, contiguous(transpose(ids)))));
  }
  CHECK(embedding(ones({9, 5}), random_indices({}, 9, generator)).shape() == Shape{5});
}

TEST_CASE("embedding_gradient sums rows in the order of ids") {
  Generator generator(3);
  for (const auto& [dtype, vocabulary] :
       {std::pair(Dtype::float32, 13), std::pair(Dtype::float64, 13), std::pair(Dtype::float32, 300)}) {
    for (int64_t width : {1, 3, 32, 33, 100}) {
      const Tensor ids = random_indices({20, 10}, vocabulary, generator);
      const Tensor g = normal({20, 10, width}, generator, 0, 1, dtype);
      const Tensor result = embedding_gradient(g, ids, vocabulary);
      REQUIRE(result.shape() == Shape{vocabulary, width});
      // Term by term in the dtype, so that the order of the sum shows in the bits.
      Tensor expected = zeros({vocabulary, width}, dtype);
      const std::vector<int32_t> rows = ids.to_vector<int32_t>();
      for (size_t i = 0; i < rows.size(); ++i) {
        const auto at = static_cast<int64_t>(i);
        add_into(slice(expected, 0, rows[i], rows[i] + 1), slice(reshape(g, {200, width}), 0, at, at + 1));
      }
      CHECK(same_bits(result, expected));
    }
  }
}

TEST_CASE("index_add_into adds what a loop adds, on every axis") {
  Generator generator(4);
  for (Dtype dtype : {Dtype::float32, Dtype::float64, Dtype::int32}) {
    for (int axis = 0; axis < 3; ++axis) {
      const Tensor target = random_values({6, 7, 40}, dtype, generator);
      const Tensor indices = random_indices({9}, target.size(axis), generator);
      Shape shape = target.shape();
      shape[axis] = 9;
      const Tensor source = random_values(shape, dtype, generator);
      const auto expected =
          added(target, select_numbers(target.shape(), axis, indices.to_vector<int32_t>()), source);
      const Tensor strided = transpose(contiguous(transpose(source)));
      const Tensor other = clone(target);
      index_add_into(target, axis, indices, source);
      CHECK(target.to_vector<double>() == expected);
      index_add_into(other, axis - 3, indices, strided);
      CHECK(same_bits(other, target));
    }
  }
}

TEST_CASE("gather takes what a loop takes, with an index as large as x or smaller") {
  Generator generator(5);
  for (Dtype dtype : kAllDtypes) {
    const Tensor x = random_values({4, 5, 6}, dtype, generator);
    for (const Tensor& view : {x, transpose(x), slice(x, 1, 0, 5, 2), expand(slice(x, 0, 0, 1), {3, 5, 6})}) {
      for (int axis = 0; axis < 3; ++axis) {
        for (const Shape& shape : {view.shape(), Shape{2, 3, 4}, Shape{1, 1, 1}}) {
          const Tensor index = random_indices(shape, view.size(axis), generator);
          const Tensor result = gather(view, axis, index);
          CHECK(result.dtype() == dtype);
          CHECK(result.to_vector<double>() == taken(view, gather_numbers(view.shape(), axis, index)));
          CHECK(same_bits(result, gather(view, axis - 3, index)));
        }
      }
    }
  }
}

TEST_CASE("scatter_add adds what a loop adds and leaves x as it is") {
  Generator generator(6);
  for (Dtype dtype : {Dtype::float32, Dtype::float64}) {
    const Tensor x = random_values({4, 5, 50}, dtype, generator), before = clone(x);
    for (const Tensor& view : {x, transpose(x)}) {
      for (int axis = 0; axis < 3; ++axis) {
        for (const Shape& shape : {view.shape(), Shape{2, 3, 4}, Shape{3, 5, 3}}) {
          const Tensor index = random_indices(shape, view.size(axis), generator);
          const Tensor source = random_values(shape, dtype, generator);
          const Tensor result = scatter_add(view, axis, index, source);
          CHECK(result.to_vector<double>() == added(view, gather_numbers(view.shape(), axis, index), source));
        }
      }
    }
    CHECK(same_bits(x, before));
  }
}

TEST_CASE("scatter_add is the adjoint of gather") {
  Generator generator(7);
  const Tensor x = normal({6, 7, 8}, generator, 0, 1, Dtype::float64);
  for (int axis = 0; axis < 3; ++axis) {
    const Tensor index = random_indices({5, 6, 7}, x.size(axis), generator);
    const Tensor y = normal({5, 6, 7}, generator, 0, 1, Dtype::float64);
    const double left = sum(multiply(gather(x, axis, index), y)).item();
    const double right =
        sum(multiply(x, scatter_add(zeros(x.shape(), Dtype::float64), axis, index, y))).item();
    CHECK(left == doctest::Approx(right).epsilon(1e-12));
  }
}

TEST_CASE("indexing takes empty tensors") {
  const Tensor none = zeros({0}, Dtype::int32);
  CHECK(index_select(zeros({3, 4}), 0, none).shape() == Shape{0, 4});
  CHECK(index_select(zeros({0, 4}), 0, none).shape() == Shape{0, 4});
  CHECK(index_select(zeros({3, 0}), 0, zeros({2}, Dtype::int32)).shape() == Shape{2, 0});
  CHECK(embedding(zeros({3, 4}), zeros({2, 0}, Dtype::int32)).shape() == Shape{2, 0, 4});
  CHECK(embedding_gradient(zeros({0, 4}), none, 3).to_vector<float>() == std::vector<float>(12));
  const Tensor target = ones({3, 4});
  index_add_into(target, 0, none, zeros({0, 4}));
  CHECK(same_bits(target, ones({3, 4})));
  CHECK(gather(zeros({3, 4}), 1, zeros({3, 0}, Dtype::int32)).shape() == Shape{3, 0});
  CHECK(same_bits(scatter_add(target, 0, zeros({0, 4}, Dtype::int32), zeros({0, 4})), target));
}

TEST_CASE("indexing gives the same bits on any number of threads") {
  Generator generator(8);
  const Tensor x = normal({500, 130}, generator);
  const Tensor ids = random_indices({3000}, 500, generator);
  const Tensor g = normal({3000, 130}, generator);
  const Tensor index = random_indices({500, 130}, 500, generator);
  const Tensor source = normal({500, 130}, generator);
  CHECK(same_bits_on_threads([&] { return embedding(x, ids); }));
  CHECK(same_bits_on_threads([&] { return embedding_gradient(g, ids, 500); }));
  CHECK(same_bits_on_threads([&] {
    const Tensor target = clone(x);
    index_add_into(target, 0, ids, g);
    return target;
  }));
  CHECK(same_bits_on_threads([&] { return gather(x, 0, index); }));
  CHECK(same_bits_on_threads([&] { return scatter_add(x, 0, index, source); }));
}

TEST_CASE("an index outside its axis is named, and nothing has been written") {
  const Tensor x = zeros({3, 4});
  const Tensor high = Tensor::from({0, 3}, {2}), low = Tensor::from({0, -1}, {2});
  CHECK_THROWS_WITH_AS(embedding(x, high), "embedding: index 3 is outside an axis of extent 3", Error);
  CHECK_THROWS_WITH_AS(embedding(x, low), "embedding: index -1 is outside an axis of extent 3", Error);
  CHECK_THROWS_WITH_AS(embedding_gradient(zeros({2, 4}), high, 2),
                       "embedding_gradient: index 3 is outside an axis of extent 2", Error);
  CHECK_THROWS_WITH_AS(index_select(x, 0, high), "index_select: index 3 is outside an axis of extent 3",
                       Error);
  CHECK_THROWS_WITH_AS(gather(x, 0, reshape(high, {1, 2})), "gather: index 3 is outside an axis of extent 3",
                       Error);
  CHECK_THROWS_WITH_AS(scatter_add(x, 0, reshape(high, {1, 2}), ones({1, 2})),
                       "scatter_add: index 3 is outside an axis of extent 3", Error);
  CHECK_THROWS_WITH_AS(index_add_into(x, 0, high, ones({2, 4})),
                       "index_add_into: index 3 is outside an axis of extent 3", Error);
  CHECK(x.to_vector<float>() == std::vector<float>(12));
}

TEST_CASE("indexing says what is wrong with shapes and dtypes") {
  const Tensor x = zeros({3, 4}), ids = zeros({2}, Dtype::int32);
  CHECK_THROWS_WITH_AS(embedding(zeros({3}), ids), "embedding: weight has shape [3], it takes 2 axes", Error);
  CHECK_THROWS_WITH_AS(embedding(x, zeros({2})), "embedding: ids is float32, it takes int32", Error);
  CHECK_THROWS_WITH_AS(embedding(x, Tensor()), "embedding: ids is an undefined tensor", Error);
  CHECK_THROWS_WITH_AS(embedding_gradient(x, ids, 5),
                       "embedding_gradient: g has shape [3, 4], it takes that of ids, [2], and the width",
                       Error);
  CHECK_THROWS_WITH_AS(embedding_gradient(x, ids, -1), "embedding_gradient: the vocabulary of -1 is negative",
                       Error);
  CHECK_THROWS_WITH_AS(embedding_gradient(zeros({2, 4}, Dtype::int32), ids, 5),
                       "embedding_gradient: g is int32, it takes bfloat16, float32 or float64", Error);
  CHECK_THROWS_WITH_AS(index_select(x, 2, ids), "index_select: axis 2 is outside a tensor of shape [3, 4]",
                       Error);
  CHECK_THROWS_WITH_AS(index_select(x, 0, zeros({1, 2}, Dtype::int32)),
                       "index_select: indices has shape [1, 2], it takes 1 axes", Error);
  CHECK_THROWS_WITH_AS(index_select(x, 0, zeros({2}, Dtype::uint8)),
                       "index_select: indices is uint8, it takes int32", Error);
  CHECK_THROWS_WITH_AS(index_add_into(transpose(x), 0, ids, zeros({2, 3})),
                       "index_add_into: the target must be dense", Error);
  CHECK_THROWS_WITH_AS(index_add_into(x, 0, ids, zeros({3, 4})),
                       "index_add_into: source has shape [3, 4], it takes [2, 4]", Error);
  CHECK_THROWS_WITH_AS(index_add_into(x, 0, ids, zeros({2, 4}, Dtype::int32)),
                       "index_add_into: the arguments are float32 and int32; cast one of them", Error);
  CHECK_THROWS_WITH_AS(index_add_into(zeros({3}, Dtype::uint8), 0, ids, zeros({2}, Dtype::uint8)),
                       "index_add_into: target is uint8, it takes bfloat16, float32, float64 or int32",
                       Error);
  CHECK_THROWS_WITH_AS(
      gather(x, 0, ids),
      "gather: index has shape [2], it takes as many axes as x of shape [3, 4] and extents at most its",
      Error);
  CHECK_THROWS_WITH_AS(
      gather(x, 1, zeros({4, 4}, Dtype::int32)),
      "gather: index has shape [4, 4], it takes as many axes as x of shape [3, 4] and extents at most its",
      Error);
  CHECK_THROWS_WITH_AS(gather(x, 1, x), "gather: index is float32, it takes int32", Error);
  CHECK_THROWS_WITH_AS(
      scatter_add(x, 1, ids, zeros({2})),
      "scatter_add: index has shape [2], it takes as many axes as x of shape [3, 4] and extents at most its",
      Error);
  CHECK_THROWS_WITH_AS(scatter_add(x, 1, zeros({3, 2}, Dtype::int32), zeros({2, 3})),
                       "scatter_add: source has shape [2, 3], it takes [3, 2]", Error);
  CHECK_THROWS_WITH_AS(scatter_add(zeros({2}, Dtype::int32), 0, ids, ids),
                       "scatter_add: x is int32, it takes bfloat16, float32 or float64", Error);
}

TEST_CASE("index_add_into of int32 wraps where binary does, by column and by row of the target") {
  constexpr int32_t kMost = std::numeric_limits<int32_t>::max();
  for (int64_t rows : {3, 20'000}) {  // few terms, and so many that the target is written row by row
    const Tensor target = full({rows, 4}, kMost, Dtype::int32), ones = full({rows, 4}, 1, Dtype::int32);
    index_add_into(target, 0, arange(rows), ones);
    const std::vector<int32_t> expected =
        binary(BinaryOp::add, full({rows, 4}, kMost, Dtype::int32), ones).to_vector<int32_t>();
    CHECK(expected[0] == std::numeric_limits<int32_t>::min());
    CHECK(target.to_vector<int32_t>() == expected);
  }
}
