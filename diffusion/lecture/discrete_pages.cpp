#include "haze/diffusion/lecture/discrete_pages.h"

#include <cmath>

#include <fmt/format.h>

#include "haze/diffusion/discrete/transition_matrices.h"

namespace haze {
namespace {

// Rounded to `digits` after the point, halves to even, without zeros at the end: 0.25, 1., 0.
std::string rounded(double value, int digits) {
  const double scale = std::pow(10, digits);
  std::string text = fmt::format("{}", std::nearbyint(value * scale) / scale);
  return text.find('.') == std::string::npos ? text + "." : text;
}

// "[0.2 0.6 0.2]".
std::string row(const Tensor& distribution, int digits) {
  std::vector<std::string> numbers;
  for (const double p : distribution.to_vector<double>()) numbers.push_back(rounded(p, digits));
  return fmt::format("[{}]", fmt::join(numbers, " "));
}

std::string rows(const Tensor& matrix) {
  std::string text;
  for (int64_t i = 0; i < matrix.size(0); ++i)
    text += fmt::format("  {}\n", row(reshape(slice(matrix, 0, i, i + 1), {-1}), 3));
  return text;
}

// Ten steps x <- x Q.
std::string iterations(Tensor x, const Tensor& transition, int digits) {
  std::string text;
  for (int step = 0; step < 10; ++step) {
    x = transition_step(x, transition);
    text += fmt::format("  {} {}\n", step, row(x, digits));
  }
  return text;
}

Tensor distribution(const std::vector<double>& p) {
  return Tensor::from(p, {std::ssize(p)});
}

}  // namespace

LectureAnswer transition_products(const LectureQuestion&) {
  const Tensor three = uniform_transition(3, 0.6), four = uniform_transition(4, 0.5);
  const Tensor absorbing = absorbing_transition(4, 3, 0.25);
  LectureAnswer answer;
  std::string& text = answer.text;
  text += "Three states, uniform transition, beta_t = 0.6: Q_t =\n" + rows(three);
  text += fmt::format("p = x_(t-1) Q_t = [0 1 0] Q_t = {}\n\n",
                      row(transition_step(distribution({0, 1, 0}), three), 4));
  text += "Uniform (random token), K = 4, beta_t = 0.5: Q_t =\n" + rows(four);
  text += "x <- x Q_t from x = [0.1 0.5 0.3 0.1]\n" + iterations(distribution({0.1, 0.5, 0.3, 0.1}), four, 4);
  text += "\nAbsorbing state, K = 4, [M] is the last, beta_t = 0.25: Q_t =\n" + rows(absorbing);
  text += "x <- x Q_t from x = [0. 1. 0. 0.]\n" + iterations(distribution({0, 1, 0, 0}), absorbing, 3);
  text += "\nPosterior of the three states, x_0 = 1, Q_bar_(t-1) = Q Q: q(x_(t-1) | x_t, x_0)\n";
  const Tensor before = transition_step(three, three);
  for (int64_t x_t = 0; x_t < 3; ++x_t)
    text += fmt::format("  x_t = {}: {}\n", x_t, row(posterior(x_t, 1, three, before), 4));
  return answer;
}

}  // namespace haze
