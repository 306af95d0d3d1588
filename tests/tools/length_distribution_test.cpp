#include "haze/tools/text/length_distribution.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/error.h"

#include "error_of.h"

using haze::Generator;
using haze::LengthDistribution;
using haze::testing::error_of;

TEST_CASE("lengths are drawn as often as they were counted (chi-squared, 99.9% confidence)") {
  const std::vector<int64_t> counts = {0, 0, 5, 1, 0, 10, 84};
  const LengthDistribution lengths(counts);
  constexpr int kDraws = 20'000;
  std::vector<int> drawn(counts.size());
  Generator generator(11);
  for (int i = 0; i < kDraws; ++i) {
    const int64_t length = lengths.draw(generator);
    REQUIRE(length >= 1);
    REQUIRE(length <= lengths.longest());
    ++drawn[static_cast<size_t>(length)];
  }
  double statistic = 0;
  for (size_t length = 0; length < counts.size(); ++length) {
    if (counts[length] == 0) {
      CHECK(drawn[length] == 0);
      continue;
    }
    const double expected = kDraws * static_cast<double>(counts[length]) / 100.0;
    statistic += (drawn[length] - expected) * (drawn[length] - expected) / expected;
  }
  CHECK(statistic < 16.266);  // 99.9% of chi-squared with 3 degrees of freedom
}

TEST_CASE("the probabilities of lengths are those of Krichevsky and Trofimov and sum to one") {
  const LengthDistribution lengths({0, 3, 0, 1});
  CHECK(lengths.longest() == 3);
  CHECK(std::exp(lengths.log_probability(1)) == doctest::Approx(3.5 / 5.5));
  CHECK(std::exp(lengths.log_probability(2)) == doctest::Approx(0.5 / 5.5));
  CHECK(std::exp(lengths.log_probability(3)) == doctest::Approx(1.5 / 5.5));
  double total = 0;
  for (int64_t length = -1; length <= 10; ++length) total += std::exp(lengths.log_probability(length));
  CHECK(total == doctest::Approx(1).epsilon(1e-12));
}

TEST_CASE("a length that the model cannot write has no probability") {
  const LengthDistribution lengths({0, 3, 0, 1});
  for (int64_t length : {int64_t{-1}, int64_t{0}, int64_t{4}, std::numeric_limits<int64_t>::max()}) {
    CHECK(lengths.log_probability(length) == -std::numeric_limits<double>::infinity());
  }
}

TEST_CASE("lengths within bounds are drawn as often as they were counted (99.9% confidence)") {
  const LengthDistribution lengths({0, 5, 0, 10, 30, 20, 0, 35});
  Generator generator(8);
  std::vector<int64_t> seen(8);
  for (int i = 0; i < 6000; ++i) ++seen[static_cast<size_t>(lengths.draw_between(generator, 2, 5))];
  CHECK(seen[3] + seen[4] + seen[5] == 6000);
  // 1000, 3000 and 2000 are expected: chi-squared with 2 degrees of freedom.
  double statistic = 0;
  for (const auto& [length, expected] : {std::pair<size_t, double>{3, 1000}, {4, 3000}, {5, 2000}}) {
    const double difference = static_cast<double>(seen[length]) - expected;
    statistic += difference * difference / expected;
  }
  CHECK(statistic < 13.816);
  // Without a text of such a length it is the nearest to the longest.
  CHECK(lengths.draw_between(generator, 2, 2) == 2);
  CHECK(lengths.draw_between(generator, 6, 6) == 6);
  CHECK(lengths.draw_between(generator, 9, 12) == 9);
  CHECK(lengths.draw_between(generator, 8, 8) == 8);
}

TEST_CASE("lengths read back from JSON are the same") {
  const LengthDistribution before({0, 7, 2, 0, 0, 1, 0});
  const LengthDistribution after = LengthDistribution::from_json(before.to_json(), "lengths.json");
  CHECK(after.longest() == before.longest());
  for (int64_t length = 0; length <= 7; ++length)
    CHECK(after.log_probability(length) == before.log_probability(length));
  Generator one(3), other(3);
  for (int i = 0; i < 50; ++i) CHECK(before.draw(one) == after.draw(other));
}

TEST_CASE("counts of nothing, of empty texts and below zero are refused") {
  CHECK(error_of([] { LengthDistribution({}); }).find("lengths:") != std::string::npos);
  CHECK(error_of([] { LengthDistribution({0, 0}); }).find("no text") != std::string::npos);
  CHECK(error_of([] { LengthDistribution({1, 2}); }).find("empty one") != std::string::npos);
  CHECK(error_of([] { LengthDistribution({0, -1, 3}); }).find("negative") != std::string::npos);
}

TEST_CASE("JSON that does not hold lengths is refused with the name of its source") {
  for (const char* text : {"", "{", "[1, 2]", "{}", R"({"counts": 3})", R"({"counts": ["a"]})",
                           R"({"counts": [0, 0]})", R"({"counts": []})", R"({"counts": [0, -4, 9]})",
                           R"({"counts": [0, 1.5]})", R"({"counts": [0, true]})"}) {
    CAPTURE(text);
    CHECK(error_of([&] {
            LengthDistribution::from_json(text, "here/lengths.json");
          }).starts_with("here/lengths.json: "));
  }
}
