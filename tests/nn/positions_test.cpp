#include "haze/nn/positions.h"

#include <algorithm>
#include <complex>

#include <doctest/doctest.h>

#include "nn/networks.h"

namespace haze {
namespace {

using nn_test::check_gradients;
using nn_test::Inputs;
using nn_test::largest_difference;
using nn_test::Matrix;
using nn_test::Parameters;
using nn_test::randomise;
using nn_test::values;
using testing::error_of;
using testing::float64s;
using testing::random;

Tensor positions(std::initializer_list<int32_t> list) {
  return Tensor::from<int32_t>(list, {static_cast<int64_t>(list.size())});
}

/// x [rows, heads, head_size] turned to the given positions.
Variable turned(const Variable& x, std::initializer_list<int32_t> to) {
  const int64_t count = 1 + *std::max_element(to.begin(), to.end());
  const RotaryTable table = rotary_table(position_waves(count, x.size(2)), positions(to), x.dtype());
  return rotary(x, table.cosine, table.sine, table.positions, x.size(1));
}

/// The dot product of the vector q at position m and the vector k at position n.
double score(const Tensor& q, const Tensor& k, int32_t m, int32_t n) {
  return sum(turned(q, {m}) * turned(k, {n})).value().item();
}

}  // namespace

TEST_CASE("sinusoidal embedding: cosines first, then sines, frequencies divided by half the width") {
  // Width 4: frequencies 1 and 10000^(-1/2) = 0.01. Divided by half - 1 the second would be 0.0001.
  const std::vector<double> one = sinusoidal_embedding(float64s({1}), 4).to_vector<double>();
  CHECK(largest_difference(one, {std::cos(1.0), std::cos(0.01), std::sin(1.0), std::sin(0.01)}) < 1e-15);
  CHECK(sinusoidal_embedding(float64s({0}), 6).to_vector<double>() == std::vector<double>{1, 1, 1, 0, 0, 0});
}

TEST_CASE("sinusoidal embedding: agrees with exp(-ln(max_period) i / half) at any value, whole or not") {
  const std::vector<double> x{0, 1, 2.5, 999.25, -3, 0.001};
  for (const double max_period : {10000.0, 100.0}) {
    const int64_t width = 10, half = 5;
    const Matrix result(sinusoidal_embedding(Tensor::from(x, {6}), width, max_period));
    for (size_t r = 0; r < x.size(); ++r) {
      for (size_t i = 0; i < half; ++i) {
        const double angle = x[r] * std::exp(-std::log(max_period) * static_cast<double>(i) / half);
        CHECK(result(r, i) == doctest::Approx(std::cos(angle)).epsilon(1e-12));
        CHECK(result(r, half + i) == doctest::Approx(std::sin(angle)).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE("sinusoidal embedding: a value's row is the same beside equal values and beside others") {
  const std::vector<double> alone = sinusoidal_embedding(float64s({5}), 8).to_vector<double>();
  const Matrix rows(sinusoidal_embedding(float64s({5, 5, 7, 5}), 8));
  for (const size_t r : {0, 1, 3}) {
    for (size_t c = 0; c < 8; ++c) CHECK(rows(r, c) == alone[c]);
  }
  CHECK(rows(2, 0) != rows(1, 0));
}

TEST_CASE("sinusoidal embedding: an odd width is the even one below it and a column of zeros") {
  const Tensor x = float64s({0.5, 7});
  const Matrix even(sinusoidal_embedding(x, 6)), odd(sinusoidal_embedding(x, 7));
  for (size_t r = 0; r < 2; ++r) {
    for (size_t c = 0; c < 6; ++c) CHECK(odd(r, c) == even(r, c));
    CHECK(odd(r, 6) == 0);
  }
  CHECK(sinusoidal_embedding(x, 1).to_vector<double>() == std::vector<double>{0, 0});
}

TEST_CASE("sinusoidal embedding: float32 values give float32, rounded once") {
  const Tensor x = Tensor::from<float>({3, 60}, {2});
  const Tensor result = sinusoidal_embedding(x, 8);
  CHECK(result.dtype() == Dtype::float32);
  CHECK(largest_difference(result.to_vector<double>(),
                           sinusoidal_embedding(cast(x, Dtype::float64), 8).to_vector<double>()) < 6e-8);
}

TEST_CASE("rotary positions: pairs (i, i + half) are complex numbers turned by position base^(-2i/size)") {
  const Tensor x = random({3, 2, 6});
  const std::vector<double> in = x.to_vector<double>(), out = values(turned(x, {0, 5, 17}));
  const double where[] = {0, 5, 17};
  for (size_t row = 0; row < 3; ++row) {
    for (size_t head = 0; head < 2; ++head) {
      for (size_t i = 0; i < 3; ++i) {
        const size_t first = (row * 2 + head) * 6 + i, second = first + 3;
        const double angle = where[row] * std::pow(10000.0, -2.0 * static_cast<double>(i) / 6);
        const std::complex<double> expected =
            std::complex<double>(in[first], in[second]) * std::polar(1.0, angle);
        CHECK(out[first] == doctest::Approx(expected.real()).epsilon(1e-12));
        CHECK(out[second] == doctest::Approx(expected.imag()).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE("rotary positions: the layout is half-split, not interleaved") {
  const Variable x = Tensor::from<double>({1, 0, 0, 0}, {1, 1, 4});
  CHECK(largest_difference(values(turned(x, {1})), {std::cos(1.0), 0, std::sin(1.0), 0}) < 1e-15);
}

TEST_CASE("rotary positions: a score depends on the distance only, and a vector keeps its length") {
  const Tensor q = random({1, 1, 8}), k = random({1, 1, 8}, 2);
  const double near = score(q, k, 5, 2);
  for (const int32_t shift : {1, 7, 100}) {
    CHECK(score(q, k, 5 + shift, 2 + shift) == doctest::Approx(near).epsilon(1e-10));
  }
  CHECK(std::abs(score(q, k, 6, 2) - near) > 1e-3);
  const double length = sum(square(Variable(q))).value().item();
  for (const int32_t position : {0, 1, 63, 4000}) {
    CHECK(score(q, q, position, position) == doctest::Approx(length).epsilon(1e-12));
  }
  CHECK(values(turned(q, {0})) == q.to_vector<double>());
}

TEST_CASE("rotary positions: float32 tables are float64 tables rounded once, far out too") {
  const Tensor waves = position_waves(65536, 16), far = positions({30000, 65535});
  const RotaryTable exact = rotary_table(waves, far, Dtype::float64);
  const RotaryTable rounded = rotary_table(waves, far, Dtype::float32);
  CHECK(rounded.cosine.shape() == Shape{65536, 8});
  CHECK(rounded.cosine.dtype() == Dtype::float32);
  CHECK(largest_difference(rounded.cosine.to_vector<double>(), exact.cosine.to_vector<double>()) < 6e-8);
  CHECK(largest_difference(rounded.sine.to_vector<double>(), exact.sine.to_vector<double>()) < 6e-8);
}

TEST_CASE("rotary positions: gradients agree with central differences") {
  testing::check_first_and_second("rotary",
                                  [](const Inputs& in) {
                                    return turned(in[0], {2, 0, 9});
                                  },
                                  {random({3, 2, 4})});
}

TEST_CASE("positions: an odd head size and an unknown name give a sentence") {
  CHECK(error_of([] { rotary_table(position_waves(2, 5), positions({1}), Dtype::float32); }) ==
        "rotary positions need an even head size, got 5");
  CHECK(error_of([] { position_kind("rotory"); }) ==
        "positions: 'rotory' is not learned, sinusoidal, rotary or none");
  CHECK(position_kind("none") == PositionKind::none);
  CHECK(position_kind("learned") == PositionKind::learned);
  CHECK(position_kind("sinusoidal") == PositionKind::sinusoidal);
  CHECK(position_kind("rotary") == PositionKind::rotary);
}

TEST_CASE("time embedding: a sinusoidal embedding of 1000 t, linear, SiLU, linear, written out") {
  Generator generator(1);
  TimeEmbedding embedding(6, generator);
  embedding.to(Dtype::float64);
  randomise(embedding, 7, 0.2);
  const std::vector<double> t{0, 0.001, 0.5, 1};
  const Matrix waves = Matrix::made(4, 256, [&](size_t r, size_t c) {
    const double angle = 1000 * t[r] * std::pow(10000.0, -static_cast<double>(c % 128) / 128);
    return c < 128 ? std::cos(angle) : std::sin(angle);
  });
  const Parameters p(embedding);
  const Matrix expected = p.linear("second", map(p.linear("first", waves), nn_test::silu_of));
  CHECK(largest_difference(values(embedding.forward(Tensor::from(t, {4}))), expected.elements) < 1e-10);
}

TEST_CASE("time embedding: gradients agree with central differences by every parameter") {
  Generator generator(1);
  TimeEmbedding embedding(2, generator);
  embedding.to(Dtype::float64);
  randomise(embedding, 7, 0.2);
  check_gradients("time embedding", embedding, {}, [&](const Inputs&) {
    return embedding.forward(Tensor::from<float>({0.25f, 0.9f}, {2}));
  });
}

TEST_CASE("time embedding: no times give no rows, and near times near but different vectors") {
  Generator generator(1);
  const TimeEmbedding embedding(8, generator);
  CHECK(embedding.forward(zeros({0})).shape() == Shape{0, 8});
  const Tensor t = Tensor::from<float>({0.5f, 0.5001f, 0.9f}, {3});
  const Matrix rows(embedding.forward(t).value());
  double near = 0, far = 0;
  for (size_t c = 0; c < 8; ++c) {
    near = std::max(near, std::abs(rows(0, c) - rows(1, c)));
    far = std::max(far, std::abs(rows(0, c) - rows(2, c)));
  }
  CHECK(near > 0);
  CHECK(near < far);
}

}  // namespace haze
