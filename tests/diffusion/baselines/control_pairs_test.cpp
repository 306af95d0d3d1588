#include "haze/diffusion/baselines/control_pairs.h"

#include <cmath>

#include <doctest/doctest.h>

#include "error_of.h"

namespace haze {
namespace {

using testing::error_of;
using Tokens = std::vector<int32_t>;

}  // namespace

// log(sigma(c)) and c - log(1 + e^c), the same in exact numbers, give -inf and NaN here.
TEST_CASE("log sigma(c) neither overflows nor underflows, as far as c reaches") {
  for (const double c : {-1e30, -1000.0, -100.0, -20.0, -1.0, 0.0, 1.0, 20.0, 100.0, 1000.0, 1e30}) {
    const double expected = c < 0 ? c - std::log1p(std::exp(c)) : -std::log1p(std::exp(-c));
    for (const Dtype dtype : {Dtype::float32, Dtype::float64}) {
      const double result = log_sigmoid(full({1}, c, dtype)).to_vector<double>()[0];
      CHECK(result == doctest::Approx(expected).epsilon(dtype == Dtype::float32 ? 1e-6 : 1e-14));
    }
  }
  CHECK(log_sigmoid(full({1}, -INFINITY)).to_vector<double>()[0] == -INFINITY);
  CHECK(log_sigmoid(full({1}, INFINITY)).to_vector<double>()[0] == 0);
}

TEST_CASE("each text is paired with its own control, then with another text's that reads otherwise") {
  const std::vector<Tokens> controls = {{1, 2}, {1}, {1, 2}, {3}, {1, 2}};
  Generator generator(1);
  std::vector<std::vector<int>> drawn(5, std::vector<int>(5, 0));
  for (int i = 0; i < 400; ++i) {
    const ControlPairs pairs = control_pairs(TextBatch::of(controls), generator);
    REQUIRE(pairs.size() == 10);
    for (size_t j = 0; j < 5; ++j) {
      const auto own = static_cast<int64_t>(j);
      CHECK(pairs.text[j] == own);
      CHECK(pairs.control[j] == own);
      CHECK(pairs.sign[j] == 1);
      CHECK(pairs.text[j + 5] == own);
      CHECK(pairs.sign[j + 5] == -1);
      CHECK(pairs.weight[j] + pairs.weight[j + 5] == 1);
      ++drawn[j][static_cast<size_t>(pairs.control[j + 5])];
    }
  }
  for (size_t text = 0; text < 5; ++text) {
    for (size_t other = 0; other < 5; ++other)
      CHECK((drawn[text][other] > 0) == (controls[text] != controls[other]));
  }
}

TEST_CASE("a text whose control all others share has no pair that does not belong together") {
  Generator generator(2);
  const ControlPairs pairs = control_pairs(TextBatch::of(std::vector<Tokens>{{1, 2}, {1, 2}}), generator);
  CHECK(pairs.text == std::vector<int64_t>{0, 1});
  CHECK(pairs.sign == std::vector<double>{1, 1});
  CHECK(pairs.weight == std::vector<double>{1, 1});
}

TEST_CASE("the binary cross-entropy and the accuracy are those of a sum by hand") {
  const std::vector<double> c = {2, -1, 0.5, -3}, sign = {1, 1, -1, -1}, weight = {0.5, 0.25, 0.125, 0.125};
  double nats = 0;
  for (size_t i = 0; i < c.size(); ++i) nats += weight[i] * std::log(1 + std::exp(-sign[i] * c[i]));
  const Loss loss =
      binary_loss(Variable(Tensor::from(c, {4})), Tensor::from(sign, {4}), Tensor::from(weight, {4}));
  CHECK(loss.total.value().item() == doctest::Approx(nats).epsilon(1e-12));
  REQUIRE(loss.log[1].name == "accuracy");
  CHECK(loss.log[1].tensor.item() == doctest::Approx(0.5 + 0.125).epsilon(1e-12));
}

TEST_CASE("a classifier of other texts is refused in a sentence") {
  const DataFacts facts{.vocabulary = 20, .end_id = 1, .max_length = 8, .max_source_length = 6};
  DataFacts learned = facts;
  check_same_texts("it", learned, facts);
  learned.max_length = 7;
  CHECK(error_of([&] { check_same_texts("it", learned, facts); }) ==
        "it: it reads texts of up to 7 and controls of up to 6 tokens, and these have up to 8 and 6");
  learned = facts;
  learned.vocabulary = 21;
  CHECK(
      error_of([&] { check_same_texts("it", learned, facts); }) ==
      "it: it has learned from texts of 21 tokens, and these have 20; both must be trained on the same data");
}

}  // namespace haze
