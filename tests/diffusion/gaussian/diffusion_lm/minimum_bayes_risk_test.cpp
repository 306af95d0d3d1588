#include "haze/diffusion/gaussian/diffusion_lm/minimum_bayes_risk.h"

#include <cmath>

#include <doctest/doctest.h>

#include "haze/engine/error.h"

namespace haze {

using Texts = std::vector<std::vector<int32_t>>;

TEST_CASE("BLEU counts n-grams at most as often as the reference has them, and punishes short texts") {
  const std::vector<int32_t> text = {1, 2, 3, 4, 5}, reference = {1, 2, 3, 9, 5, 6};
  // 4 of 5 words; (2 + 1) / (4 + 1), (1 + 1) / (3 + 1) and (0 + 1) / (2 + 1) of the longer n-grams.
  const double expected = std::exp(1 - 6.0 / 5) * std::pow(0.8 * 0.6 * 0.5 / 3, 0.25);
  CHECK(sentence_bleu(text, reference) == doctest::Approx(expected).epsilon(1e-12));
  CHECK(sentence_bleu(text, text) == doctest::Approx(1));
  const std::vector<int32_t> repeated = {1, 1, 1, 1}, once = {1, 2, 3, 4};
  CHECK(sentence_bleu(repeated, once) == doctest::Approx(std::pow(0.25 / 4 / 3 / 2, 0.25)));
  CHECK(sentence_bleu(std::vector<int32_t>{7}, once) == 0);
  CHECK(sentence_bleu({}, once) == 0);
}

TEST_CASE("the candidate that is most like the others is chosen, and of equals the first") {
  CHECK(minimum_bayes_risk(Texts{{7, 8, 9}, {1, 2, 3, 4}, {1, 2, 3, 5}, {1, 2, 6, 4}}) == 1);
  CHECK(minimum_bayes_risk(Texts{{1, 2}, {1, 2}}) == 0);
  CHECK(minimum_bayes_risk(Texts{{5}}) == 0);
  CHECK_THROWS_WITH(minimum_bayes_risk(Texts{}), "minimum_bayes_risk: there is no candidate");
}

}  // namespace haze
