#include <cmath>
#include <sstream>

#include <doctest/doctest.h>

#include "haze/diffusion/gaussian/noise_schedule.h"
#include "haze/diffusion/lecture.h"
#include "haze/engine/ops.h"

namespace haze {
namespace {

// The numbers of the line of `text` that begins with a step, without what stands between them.
std::vector<double> numbers_of_step(const std::string& text, int t) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    for (char& c : line) {
      if (c == '|') c = ' ';
    }
    std::istringstream words(line);
    std::vector<double> numbers;
    for (double number = 0; words >> number;) numbers.push_back(number);
    if (!numbers.empty() && words.eof() && numbers.front() == t) return numbers;
  }
  return {};
}

}  // namespace

TEST_CASE("the page of discrete states prints every digit of the lecture") {
  const std::string text = lecture_page("d3pm").compute({}).text;
  for (const std::string line : {"= [0.2 0.6 0.2]\n",
                                 "[0.6 0.2 0.2]\n  [0.2 0.6 0.2]\n  [0.2 0.2 0.6]",
                                 "[0.625 0.125 0.125 0.125]\n",
                                 "  0 [0.175 0.375 0.275 0.175]\n",
                                 "  1 [0.2125 0.3125 0.2625 0.2125]\n",
                                 "  2 [0.2312 0.2812 0.2562 0.2312]\n",
                                 "  3 [0.2406 0.2656 0.2531 0.2406]\n",
                                 "  4 [0.2453 0.2578 0.2516 0.2453]\n",
                                 "  5 [0.2477 0.2539 0.2508 0.2477]\n",
                                 "  6 [0.2488 0.252 0.2504 0.2488]\n",
                                 "  7 [0.2494 0.251 0.2502 0.2494]\n",
                                 "  8 [0.2497 0.2505 0.2501 0.2497]\n",
                                 "  9 [0.2499 0.2502 0.25 0.2499]\n",
                                 "  0 [0. 0.75 0. 0.25]\n",
                                 "  1 [0. 0.562 0. 0.438]\n",
                                 "  2 [0. 0.422 0. 0.578]\n",
                                 "  3 [0. 0.316 0. 0.684]\n",
                                 "  4 [0. 0.237 0. 0.763]\n",
                                 "  5 [0. 0.178 0. 0.822]\n",
                                 "  6 [0. 0.133 0. 0.867]\n",
                                 "  7 [0. 0.1 0. 0.9]\n",
                                 "  8 [0. 0.075 0. 0.925]\n",
                                 "  9 [0. 0.056 0. 0.944]\n"}) {
    CAPTURE(line);
    CHECK(text.find(line) != std::string::npos);
  }
}

TEST_CASE(
    "the forward page: t steps and the closed form have the same mean and deviation (4 standard errors)") {
  constexpr int64_t kCount = 20000;
  LectureQuestion question{.t = {1, 40, 100}, .steps = 100, .x_0 = full({kCount, 1}, 1.5)};
  const LectureAnswer answer = lecture_page("forward").compute(question);
  const NoiseSchedule schedule = linear_noise_schedule(100);
  REQUIRE(answer.noised.size() == 6);
  for (size_t i = 0; i < question.t.size(); ++i) {
    const auto t = static_cast<size_t>(question.t[i]);
    const std::vector<double> row = numbers_of_step(answer.text, question.t[i]);
    REQUIRE(row.size() == 11);
    CHECK(row[1] == doctest::Approx(std::sqrt(schedule.alpha_bar[t])).epsilon(1e-4));
    CHECK(row[2] == doctest::Approx(std::sqrt(schedule.noise[t])).epsilon(1e-4));
    const double error = std::sqrt(schedule.noise[t] / kCount);
    for (const size_t way : {size_t{3}, size_t{7}}) {
      CHECK(std::abs(row[way] - 1.5 * row[1]) < 4 * error + 5e-5);
      CHECK(std::abs(row[way + 1] - row[2]) < 4 * error / std::sqrt(2.0) + 5e-5);
    }
    // The path holds t tensors, the closed form two or three.
    CHECK(row[6] > 0.9 * question.t[i] * kCount * 4 / 1e6);
  }
  CHECK(lecture_page("forward").compute(question).noised[5].to_vector<float>() ==
        answer.noised[5].to_vector<float>());
}

TEST_CASE("the posterior's page prints the coefficients that the models use") {
  const LectureAnswer answer = lecture_page("posterior").compute({.t = {1, 50, 200}, .steps = 200});
  const NoiseSchedule schedule = linear_noise_schedule(200);
  for (const int t : {1, 50, 200}) {
    const std::vector<double> row = numbers_of_step(answer.text, t);
    REQUIRE(row.size() == 6);
    const GaussianPosterior posterior = gaussian_posterior(schedule, t);
    CHECK(row[1] == doctest::Approx(schedule.beta[static_cast<size_t>(t)]).epsilon(1e-4));
    CHECK(row[2] == doctest::Approx(schedule.alpha_bar[static_cast<size_t>(t)]).epsilon(1e-5));
    CHECK(row[3] == doctest::Approx(posterior.x_0_coefficient).epsilon(1e-4));
    CHECK(row[4] == doctest::Approx(posterior.x_t_coefficient).epsilon(1e-4));
    CHECK(row[5] == doctest::Approx(posterior.variance).epsilon(1e-4));
  }
}

TEST_CASE(
    "the objective's page: with the posterior's variance L_{t-1} has no constant, with beta_t a positive "
    "one") {
  const LectureAnswer answer = lecture_page("objective").compute({.t = {2, 100, 1000}});
  const NoiseSchedule schedule = linear_noise_schedule(1000);
  for (const int t : {2, 100, 1000}) {
    const auto i = static_cast<size_t>(t);
    const std::vector<double> row = numbers_of_step(answer.text, t);
    REQUIRE(row.size() == 5);
    const double beta = schedule.beta[i];
    CHECK(row[1] == doctest::Approx(beta / (2 * schedule.alpha[i] * schedule.noise[i])).epsilon(1e-4));
    CHECK(row[2] > 0);
    CHECK(row[3] == doctest::Approx(beta / (2 * schedule.alpha[i] * schedule.noise[i - 1])).epsilon(1e-4));
    CHECK(std::abs(row[4]) < 1e-15);
  }
}

TEST_CASE("a page that is not there, and steps that are not, are refused in a sentence") {
  CHECK_THROWS_WITH(
      lecture_page("spindle"),
      "the lecture has no page 'spindle' here; those that can be computed are forward, posterior, "
      "objective, d3pm");
  CHECK_THROWS_WITH(lecture_page("posterior").compute({.t = {0}}), "step t = 0 is not in 1..1000");
  CHECK_THROWS_WITH(lecture_page("objective").compute({.t = {1}}), "step t = 1 is not in 2..1000");
  CHECK_THROWS_WITH(lecture_page("forward").compute({.t = {1}}), "there are no data to add noise to");
  CHECK_THROWS_WITH(lecture_page("forward").compute({.t = {}}), "there is no step t to show");
}

}  // namespace haze
